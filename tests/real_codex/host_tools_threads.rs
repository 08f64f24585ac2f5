//! Threads that keep their tools, and are gone on with by a service that has them, has others, or has none.

use std::{
    future::ready,
    sync::{Arc, OnceLock},
    time::Duration,
};

use codex_telemetry::{
    CallContext, ErrorClass, Event, Outcome, ServiceBuilderExt,
    event::names,
    tool::{ToolError, ToolService, tool_fn},
    turn::{CodexAppServer, Item, ItemKind},
};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tower::ServiceExt;

use crate::{
    app_server::AppServer,
    bench::{Bench, in_time},
    calls::{assert_ok, number},
    host_rig::{Stack, registry_of, spec},
    reply::{Reply, Tokens},
};

/// Returns a registry with a tool that returns a text.
fn answering(name: &'static str, text: &'static str) -> ToolService {
    registry_of(
        name,
        tool_fn(move |_: Value, _: CallContext| ready(Ok::<_, ToolError>(text))),
    )
}

fn lookup() -> Reply {
    Reply::calls([("lookup", json!({}))])
}

/// Starts a thread that has the tool `lookup`, in a server that ends.
async fn thread_with_lookup(bench: &Bench) -> codex_telemetry::Turn {
    let server = bench.hosting(&answering("lookup", "the first"));
    bench.model.then([lookup(), Reply::done()]);
    let turn = server.complete(bench.ask("Go")).await;
    assert_eq!(bench.told_of("lookup"), ["the first"]);
    server.end().await;
    turn
}

/// Has the model call `lookup` in a thread, and returns what it is told and the event of the call.
async fn call_again(server: &AppServer<'_>, first: &codex_telemetry::Turn) -> (String, Event) {
    let bench = server.bench();
    bench.model.then([lookup(), Reply::done()]);
    let turn = server.complete(bench.ask_on(first, "Go on")).await;
    assert_eq!(turn.thread_id, first.thread_id);
    let calls = bench.calls(2);
    let of_turn = calls.of(&turn);
    assert_eq!(number(of_turn.turn, names::TOOL_CALLS), Some(1));
    let [event] = &of_turn.tools[..] else {
        panic!("{:?}", of_turn.tools);
    };
    let told = bench.told_of("lookup").pop().unwrap();
    (told.as_str().unwrap().to_owned(), (*event).clone())
}

#[tokio::test]
async fn a_thread_that_is_gone_on_with_by_another_service_calls_the_tool_there() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    let first = thread_with_lookup(&bench).await;
    let registry = answering("lookup", "the second");
    let server = bench.hosting(&registry);
    let (told, event) = call_again(&server, &first).await;
    assert_eq!(told, "the second");
    assert_ok(&event);
    assert_eq!(registry.stats()["lookup"].success, 1);
    server.end().await;
}

#[tokio::test]
async fn a_thread_whose_tool_the_service_does_not_have_is_told_so_and_goes_on() {
    for stack in Stack::ALL {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let first = thread_with_lookup(&bench).await;
        let registry = answering("other", "unused");
        let server = bench.hosting_by(stack, &registry);
        let (told, event) = call_again(&server, &first).await;
        assert!(told.starts_with("unknown tool `lookup`"), "{told}");
        assert_eq!(event.call_name(), Some("lookup"));
        assert_eq!(event.outcome(), Some(Outcome::Error));
        assert_eq!(
            event.error_class(),
            Some(ErrorClass::ToolNotFound),
            "{stack:?}"
        );
        // A thread keeps the tools with which it was started.
        let tools = bench.model.asked().pop().unwrap().json()["tools"].clone();
        assert!(!tools.to_string().contains(r#""other""#), "{tools}");
        server.end().await;
    }
}

#[tokio::test]
async fn a_thread_whose_service_has_no_tools_at_all_is_told_so_and_goes_on() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    let first = thread_with_lookup(&bench).await;
    let server = bench.app_server(|builder| builder);
    let (told, event) = call_again(&server, &first).await;
    assert_eq!(told, "the program has no such tool: continue without it");
    assert_eq!(event.call_name(), Some("lookup"));
    assert_eq!(event.outcome(), Some(Outcome::Error));
    assert_eq!(event.error_class(), Some(ErrorClass::ToolNotFound));
    server.end().await;
}

#[tokio::test]
async fn a_thread_that_was_started_without_tools_does_not_get_any_and_goes_on() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let first = server.complete(bench.ask("Go")).await;
    server.end().await;
    let registry = answering("lookup", "unused");
    let server = bench.hosting(&registry);
    bench.model.then([lookup(), Reply::done()]);
    let turn = server.complete(bench.ask_on(&first, "Go on")).await;
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    // Codex has refused the call itself, without an item.
    assert_eq!(bench.told_of("lookup"), ["unsupported call: lookup"]);
    assert_eq!(bench.calls(2).tools.len(), 0);
    assert_eq!(registry.stats()["lookup"].success, 0);
    server.end().await;
}

#[tokio::test]
async fn the_calls_of_two_threads_at_once_have_the_ids_of_their_own() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    for prompt in ["plum", "pear"] {
        bench.model.then_to(prompt, [lookup(), Reply::done()]);
    }
    // Each is called while the other is.
    let both = Arc::new(Barrier::new(2));
    let tool = tool_fn(move |_: Value, context: CallContext| {
        let both = Arc::clone(&both);
        async move {
            both.wait().await;
            Ok::<_, ToolError>(context.thread_id().unwrap().to_string())
        }
    });
    let server = bench.hosting(&registry_of("lookup", tool));
    let (plum, pear) = server
        .complete_both(bench.ask("plum"), bench.ask("pear"))
        .await;
    let calls = bench.calls(2);
    for turn in [plum, pear] {
        let [event] = calls.of(&turn).tools[..] else {
            panic!("{:?}", calls.tools);
        };
        assert_ok(event);
        assert_eq!(event.thread_id(), turn.thread_id.as_deref());
        let [item] = &turn.items.iter().filter_map(content).collect::<Vec<_>>()[..] else {
            panic!("{:?}", turn.items);
        };
        // The context has the ids as well.
        assert!(item.contains(turn.thread_id.as_deref().unwrap()), "{item}");
    }
    server.end().await;
}

/// Returns what a host tool has returned, as its item has it.
fn content(item: &Item) -> Option<String> {
    match &item.kind {
        ItemKind::DynamicToolCall { content_items, .. } => {
            Some(content_items.as_ref()?.as_str().to_owned())
        }
        _ => None,
    }
}

#[tokio::test]
async fn a_host_tool_may_run_a_turn_of_its_own_inside_of_its_call() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    bench.model.then_to("OUTER", [lookup(), Reply::done()]);
    bench
        .model
        .then_to("INNER", [Reply::message("deep", Tokens::FEW)]);
    let turns = Arc::new(OnceLock::new());
    let tool = {
        let turns = Arc::clone(&turns);
        let request = bench.ask("INNER");
        let sink = bench.sink.clone();
        tool_fn(move |_: Value, context: CallContext| {
            let turns: CodexAppServer = turns.get().cloned().unwrap();
            let turns = tower::ServiceBuilder::new()
                .timing(sink.clone())
                .service(turns);
            let request = request.clone().with_context(context.child());
            async move {
                let turn = turns.oneshot(request).await?;
                Ok::<_, codex_telemetry::TurnError>(turn.final_message)
            }
        })
    };
    let registry = ToolService::builder().tool(spec("lookup"), tool);
    let server = bench.hosting(&registry.build().unwrap());
    assert!(turns.set(server.turns.clone()).is_ok());
    let outer = in_time(server.complete(bench.ask("OUTER"))).await;
    assert_eq!(outer.final_message.as_deref(), Some("done"));
    assert_eq!(bench.told_of("lookup"), ["deep"]);
    let calls = bench.calls(2);
    let outer = calls.of(&outer);
    let [tool] = outer.tools[..] else {
        panic!("{:?}", outer.tools);
    };
    let mut turns = calls.turns.iter();
    let inner = turns
        .find(|turn| turn.parent_span_id() == Some(tool.span_id()))
        .expect("a turn inside of the tool");
    assert_ok(inner);
    assert_eq!(inner.trace_id(), outer.turn.trace_id());
    assert_ne!(inner.thread_id(), outer.turn.thread_id());
    server.end().await;
}

#[tokio::test]
async fn a_host_tool_that_runs_a_turn_of_its_own_thread_waits_for_itself_until_its_deadline() {
    let script = [lookup(), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let turns = Arc::new(OnceLock::new());
    let tool = {
        let turns = Arc::clone(&turns);
        let request = bench.ask("Go on");
        tool_fn(move |_: Value, context: CallContext| {
            let turns: CodexAppServer = turns.get().cloned().unwrap();
            let thread = context.thread_id().unwrap().to_string();
            let request = request.clone().with_resume(thread);
            async move {
                turns.oneshot(request).await?;
                Ok::<_, codex_telemetry::TurnError>("unreachable")
            }
        })
    };
    let registry = registry_of("lookup", tool);
    let deadline = Duration::from_millis(300);
    let server = bench.app_server(|builder| {
        builder.tools(bench.host_tools_of(Stack::Layered, &registry, deadline))
    });
    assert!(turns.set(server.turns.clone()).is_ok());
    let turn = server.complete(bench.ask("Go")).await;
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    assert_eq!(
        bench.calls(1).tool().error_class(),
        Some(ErrorClass::Timeout)
    );
    // Nothing of the turn that never began is left.
    let pid = bench.server().unwrap();
    server.assert_free(turn.thread_id.as_deref(), pid).await;
    server.end().await;
}
