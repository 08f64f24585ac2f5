//! The event of a call by who makes it: a layer of the program's stack, or the service from what Codex tells.

use std::{future::ready, sync::Arc};

use codex_telemetry::{
    CallContext, ErrorClass, Originator,
    event::names,
    tool::{ToolCall, ToolError, ToolFailure, ToolOutput, ToolService, tool_fn},
};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::service_fn;

use crate::{
    bench::{Bench, until},
    calls::{assert_ok, number},
    checked::MemorySink,
    host_rig::{Stack, registry_of, spec},
    reply::Reply,
};

#[tokio::test]
async fn a_call_through_a_stack_without_timing_is_one_event_from_its_item_with_the_class_and_the_time()
 {
    let calls = Reply::calls([("lookup", json!({})), ("crm.look", json!({}))]);
    let Some(bench) = Bench::start([calls, Reply::done()]) else {
        return;
    };
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let lookup = {
        let (began, go) = (Arc::clone(&began), Arc::clone(&go));
        tool_fn(move |_: Value, _: CallContext| {
            let (began, go) = (Arc::clone(&began), Arc::clone(&go));
            async move {
                began.notify_one();
                go.notified().await;
                Ok::<_, ToolError>("found")
            }
        })
    };
    let look = tool_fn(|_: Value, _: CallContext| {
        ready(Err::<Value, _>(ToolError::ApprovalTimeout {
            tool: "crm.look".into(),
            after: std::time::Duration::from_secs(1),
        }))
    });
    let registry = ToolService::builder()
        .namespace("crm", "Customers")
        .tool(spec("lookup"), lookup)
        .tool(spec("crm.look"), look)
        .build()
        .unwrap();
    let server = bench.hosting_by(Stack::Bare, &registry);
    let mut held = std::time::Duration::ZERO;
    let hold =
        async {
            began.notified().await;
            let since = std::time::Instant::now();
            until("the other one has failed", || {
                bench.sink.events().iter().any(|event| {
                    event.call_name() == Some("crm.look") && event.error_class().is_some()
                })
            })
            .await;
            held = since.elapsed();
            go.notify_one();
        };
    let (turn, ()) = tokio::join!(server.complete(bench.ask("Go")), hold);
    let calls = bench.calls(1);
    assert_eq!(number(calls.turn(), names::TOOL_CALLS), Some(2));
    let [lookup, look] = ["lookup", "crm.look"].map(|name| {
        let mut events = calls.tools.iter();
        events
            .find(|event| event.call_name() == Some(name))
            .unwrap()
    });
    assert_eq!(calls.tools.len(), 2);
    let requests = bench.model.asked();
    for (event, called) in [lookup, look].into_iter().zip(requests[1].calls()) {
        assert_eq!(event.call_id(), Some(&*called.id));
        assert_eq!(event.parent_span_id(), Some(calls.turn().span_id()));
        assert_eq!(event.turn_id(), turn.turn_id.as_deref());
        assert_eq!(event.originator(), Some(&Originator::Sdk));
        assert_eq!(
            event.attribute(names::TOOL_TYPE),
            Some(&opentelemetry::Value::from("function"))
        );
    }
    assert_ok(lookup);
    assert!(lookup.duration().unwrap() >= held, "{lookup:?}");
    // Not `tool_failed`, which is all that the item says.
    assert_eq!(look.error_class(), Some(ErrorClass::ApprovalDenied));
    server.end().await;
}

#[tokio::test]
async fn the_contents_of_a_call_are_on_its_one_event_if_a_sink_wants_them() {
    for stack in Stack::ALL {
        let calls = Reply::calls([("lookup", json!({"ticket": 7})), ("broken", json!({}))]);
        let Some(mut bench) = Bench::start([calls, Reply::done()]) else {
            return;
        };
        bench.sink = MemorySink::capturing_content();
        let lookup = service_fn(|_: ToolCall| {
            ready(Ok::<_, ToolError>(ToolOutput::new(json!({"title": "x"}))))
        });
        let broken =
            service_fn(|_: ToolCall| ready(Err::<ToolOutput, _>(ToolFailure::new("broken"))));
        let registry = ToolService::builder()
            .tool(spec("lookup"), lookup)
            .tool(spec("broken"), broken)
            .build()
            .unwrap();
        let server = bench.hosting_by(stack, &registry);
        server.complete(bench.ask("Go")).await;
        let calls = bench.calls(1);
        assert_eq!(calls.tools.len(), 2);
        let mut tools = calls.tools.iter();
        let tool = tools
            .find(|event| event.call_name() == Some("lookup"))
            .unwrap();
        let content = |key: &str| {
            let mut content = tool.content().iter();
            let attribute = content.find(|attribute| attribute.key.as_str() == key);
            attribute.map(|attribute| attribute.value.to_string())
        };
        let arguments = content(names::TOOL_CALL_ARGUMENTS);
        assert_eq!(arguments.as_deref(), Some(r#"{"ticket":7}"#), "{stack:?}");
        let result = content(names::TOOL_CALL_RESULT).unwrap();
        assert!(result.contains("title"), "{stack:?}: {result}");
        server.end().await;
    }
}

#[tokio::test]
async fn the_contents_of_a_call_are_in_no_event_if_no_sink_wants_them() {
    for stack in Stack::ALL {
        let calls = Reply::calls([("lookup", json!({"key": "an-argument"}))]);
        let Some(bench) = Bench::start([calls, Reply::done()]) else {
            return;
        };
        let lookup = tool_fn(|_: Value, _: CallContext| ready(Ok::<_, ToolError>("a-result")));
        let registry = registry_of("lookup", lookup);
        let server = bench.hosting_by(stack, &registry);
        server.complete(bench.ask("Go")).await;
        let events = format!("{:?}", bench.sink.events());
        assert_eq!(bench.calls(1).tools.len(), 1);
        for secret in ["an-argument", "a-result"] {
            assert!(!events.contains(secret), "{stack:?}: {secret} is recorded");
        }
        server.end().await;
    }
}
