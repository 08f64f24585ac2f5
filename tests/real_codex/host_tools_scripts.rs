//! Tools that a model calls from a script, as newer models do.

use std::sync::Arc;

use codex_telemetry::{
    CallContext, ErrorClass, Event, Outcome,
    event::names,
    tool::{ToolError, ToolFailure, ToolService, tool_fn},
    turn::ItemKind,
};
use serde_json::Value;
use tokio::sync::Barrier;

use crate::{
    bench::Bench,
    calls::{assert_ok, number},
    host_rig::{Stack, spec},
    reply::Reply,
};

/// A model that has no tools but a script, which calls them.
const MODEL: &str = "gpt-6-sol";

/// Two tools that wait for each other: the first answers, the other one fails.
fn registry() -> ToolService {
    let both = Arc::new(Barrier::new(2));
    let lookup = {
        let both = Arc::clone(&both);
        tool_fn(move |arguments: Value, _: CallContext| {
            let both = Arc::clone(&both);
            async move {
                both.wait().await;
                Ok::<_, ToolError>(format!("ticket {}", arguments["id"]))
            }
        })
    };
    let refund = tool_fn(move |_: Value, _: CallContext| {
        let both = Arc::clone(&both);
        async move {
            both.wait().await;
            Err::<Value, _>(ToolFailure::new("the till is empty"))
        }
    });
    let registry = ToolService::builder()
        .namespace("shop", "Orders")
        .tool(spec("lookup"), lookup)
        .tool(spec("shop.refund"), refund);
    registry.build().unwrap()
}

#[tokio::test]
async fn tools_that_a_script_calls_at_once_are_each_one_event_in_the_turn() {
    for stack in Stack::ALL {
        let script = Reply::script(
            "const all = await Promise.all([tools.lookup({id: 7}), tools.shop__refund({})]);\n\
             text(all.join(' and '));",
        );
        let Some(bench) = Bench::start([script, Reply::done()]) else {
            return;
        };
        let registry = registry();
        let server = bench.hosting_by(stack, &registry);
        let turn = server.complete(bench.ask("Go").with_model(MODEL)).await;
        assert_eq!(turn.final_message.as_deref(), Some("done"));
        let requests = bench.model.asked();
        let told = requests[1].json()["input"].to_string();
        assert!(
            told.contains("ticket 7 and tool `shop.refund` failed: the till is empty"),
            "{told}"
        );

        let calls = bench.calls(1);
        assert_eq!(number(calls.turn(), names::TOOL_CALLS), Some(2));
        let mut called: Vec<_> = calls.tools.iter().filter_map(Event::call_name).collect();
        called.sort_unstable();
        assert_eq!(called, ["lookup", "shop.refund"], "{stack:?}");
        for event in &calls.tools {
            assert_eq!(event.parent_span_id(), Some(calls.turn().span_id()));
            // The id is that of the item: the script has made the call, and not the model.
            let mut items = turn.items.iter();
            let item = items.find(|item| Some(&*item.id) == event.call_id());
            assert!(matches!(
                item.map(|item| &item.kind),
                Some(ItemKind::DynamicToolCall { .. })
            ));
            if event.call_name() == Some("lookup") {
                assert_ok(event);
            } else {
                assert_eq!(event.outcome(), Some(Outcome::Error));
                assert_eq!(event.error_class(), Some(ErrorClass::ToolFailed));
            }
        }
        server.end().await;
    }
}

#[tokio::test]
async fn a_tool_that_outlives_its_turn_is_dropped_with_it() {
    for stack in Stack::ALL {
        // The script yields while the tool runs, and the model then answers.
        let script = Reply::script("// @exec: {\"yield_time_ms\": 100}\nawait tools.ponder({});");
        let Some(bench) = Bench::start([script, Reply::done()]) else {
            return;
        };
        let tool = crate::host_rig::Endless::new();
        let registry = crate::host_rig::registry_of("ponder", tool.service());
        let server = bench.hosting_by(stack, &registry);
        let turn = server.complete(bench.ask("Go").with_model(MODEL)).await;
        assert_eq!(turn.final_message.as_deref(), Some("done"));
        tool.begun(1).await;
        assert_eq!(tool.dropped(), 1);
        let calls = bench.calls(1);
        assert_ok(calls.turn());
        let class = match stack {
            Stack::Layered => ErrorClass::Cancelled,
            Stack::Bare => ErrorClass::Incomplete,
        };
        assert_eq!(calls.tool().error_class(), Some(class), "{stack:?}");
        // The thread goes on.
        bench.model.then([Reply::done()]);
        server
            .complete(bench.ask_on(&turn, "Go on").with_model(MODEL))
            .await;
        assert_eq!(bench.calls(2).tools.len(), 1);
        server.end().await;
    }
}
