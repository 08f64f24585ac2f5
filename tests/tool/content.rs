//! Arguments and results, which are recorded only for a sink that captures content.

use codex_telemetry::{
    CallContext, Event, TimingLayer, ToolCall, ToolError, event::names, tool_fn,
};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};

use crate::{
    checked::MemorySink,
    support::{every_way_to_fail, only},
};

/// Calls the tools, and returns the terminal event.
async fn ended(sink: MemorySink, call: ToolCall) -> Event {
    let tools = every_way_to_fail().build().unwrap();
    tools.set_enabled("switched_off", false).unwrap();
    let _ = TimingLayer::new(sink.clone())
        .layer(tools)
        .oneshot(call)
        .await;
    sink.take().remove(1)
}

fn content<'a>(event: &'a Event, key: &str) -> Option<std::borrow::Cow<'a, str>> {
    let mut content = event.content().iter();
    Some(content.find(|kv| kv.key.as_str() == key)?.value.as_str())
}

#[tokio::test]
async fn arguments_and_results_are_recorded_as_json_and_a_text_as_it_is() {
    for (value, result) in [
        (json!({"city": "Oslo"}), r#"{"city":"Oslo"}"#),
        (json!("a \"text\""), "a \"text\""),
        (json!([1, null]), "[1,null]"),
    ] {
        let call = ToolCall::new("echo", value.clone());
        let event = ended(MemorySink::capturing_content(), call).await;
        let arguments = content(&event, names::TOOL_CALL_ARGUMENTS);
        assert_eq!(arguments.as_deref(), Some(&*value.to_string()));
        assert_eq!(
            content(&event, names::TOOL_CALL_RESULT).as_deref(),
            Some(result)
        );
    }
}

#[tokio::test]
async fn a_failed_call_has_its_arguments_and_no_result() {
    for tool in [
        "nobody",
        "switched_off",
        "typed",
        "denied",
        "fails",
        "panics",
    ] {
        let event = ended(
            MemorySink::capturing_content(),
            ToolCall::new(tool, json!("x")),
        )
        .await;
        let arguments = content(&event, names::TOOL_CALL_ARGUMENTS);
        assert_eq!(arguments.as_deref(), Some("\"x\""), "{tool}");
        assert_eq!(content(&event, names::TOOL_CALL_RESULT), None, "{tool}");
    }
}

#[tokio::test]
async fn arguments_and_results_that_are_cut_are_valid_json() {
    let long = json!({"text": "ä\"\n".repeat(100_000), "z": 1});
    let event = ended(MemorySink::capturing_content(), ToolCall::new("echo", long)).await;
    for key in [names::TOOL_CALL_ARGUMENTS, names::TOOL_CALL_RESULT] {
        let content = content(&event, key).unwrap();
        assert!(content.len() <= 64 * 1024);
        let content: Value = serde_json::from_str(&content).unwrap();
        assert!(content["text"].as_str().unwrap().ends_with('…'));
    }
}

#[tokio::test]
async fn by_default_neither_is_recorded_nor_serialized() {
    let event = ended(MemorySink::new(), ToolCall::new("echo", json!("x"))).await;
    assert_eq!(event.content(), []);

    const SIZE: usize = 1 << 20;
    let tool = tool_fn(|_: Value, _: CallContext| async { Ok::<_, ToolError>("y".repeat(SIZE)) });
    let serialized = |sink: MemorySink| {
        let service = TimingLayer::new(sink).layer(only("t", tool.clone()));
        let call = ToolCall::new("t", json!("x".repeat(SIZE)));
        let mut called = tokio_test::task::spawn(service.oneshot(call));
        let allocated = allocation_counter::measure(|| {
            tokio_test::assert_ready_ok!(called.poll());
        });
        allocated.bytes_total
    };
    let (without, with) = (
        serialized(MemorySink::new()),
        serialized(MemorySink::capturing_content()),
    );
    // The content is as long as the limit, twice; a vector that grows to it allocates up to twice that.
    assert!(with - without >= 2 * 64 * 1024, "{without} {with}");
}
