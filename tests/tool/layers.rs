use codex_telemetry::{
    CallContext, ErrorClass, EventKind, Operation, Originator, Outcome, ToolCall, ToolService,
};
use serde_json::json;
use tokio_test::assert_pending;
use tower::{Service, ServiceExt};

use crate::{
    checked::MemorySink,
    support::{every_way_to_fail, layered, only, sleeper, spawn},
};

/// Disables the tool `switched_off`.
fn switched_off(service: ToolService) -> ToolService {
    service
        .set_enabled("switched_off", false)
        .expect("it is registered");
    service
}

#[tokio::test]
async fn the_event_of_an_error_has_its_class_and_message() {
    for (name, class) in [
        ("nobody", ErrorClass::ToolNotFound),
        ("switched_off", ErrorClass::PolicyDenied),
        ("typed", ErrorClass::InvalidArguments),
        ("denied", ErrorClass::ApprovalDenied),
        ("fails", ErrorClass::ToolFailed),
        ("panics", ErrorClass::Panic),
    ] {
        let sink = MemorySink::new();
        let service = layered(&sink, switched_off(every_way_to_fail().build().unwrap()));
        let call = ToolCall::new(name, json!("text")).with_call_id("call_1");
        let error = service.oneshot(call).await.unwrap_err();

        let ended = &sink.take()[1];
        assert_eq!(ended.kind(), EventKind::Exception, "{name}");
        assert_eq!(ended.error_class(), Some(class), "{name}");
        assert_eq!(ended.outcome(), Some(Outcome::Error), "{name}");
        assert_eq!(
            ended.error_message(),
            error.classification().message.as_deref(),
            "{name}"
        );
        assert_eq!(ended.operation(), Operation::Tool);
        assert_eq!(ended.call_name(), Some(name));
        assert_eq!(ended.call_id(), Some("call_1"));
        assert_eq!(ended.originator(), Some(&Originator::Sdk));
    }
}

#[tokio::test]
async fn the_events_of_a_success_have_the_type_function() {
    let sink = MemorySink::new();
    let service = layered(&sink, every_way_to_fail().build().unwrap());
    service
        .oneshot(ToolCall::new("echo", json!(1)))
        .await
        .unwrap();

    let events = sink.take();
    let names: Vec<_> = events.iter().map(|event| event.name()).collect();
    assert_eq!(names, ["codex.tool.start", "codex.tool.stop"]);
    let kind = events[1].attribute("gen_ai.tool.type").unwrap();
    assert_eq!(kind.as_str(), "function");
}

#[tokio::test]
async fn the_event_of_an_unknown_tool_has_no_type() {
    let sink = MemorySink::new();
    let service = layered(&sink, every_way_to_fail().build().unwrap());
    let unknown = service.oneshot(ToolCall::new("nobody", json!(1))).await;
    assert!(unknown.is_err());
    assert!(sink.events()[1].attribute("gen_ai.tool.type").is_none());
}

#[tokio::test]
async fn the_function_receives_the_context_of_its_call() {
    let records = codex_telemetry::tool_fn(|(): (), context: CallContext| async move {
        context.record("rows", 3);
        Ok::<_, std::convert::Infallible>(context.call_id().map(str::to_owned))
    });
    let sink = MemorySink::new();
    let call = ToolCall::new("records", json!(null))
        .with_context(CallContext::new().with_call_id("call_2"));
    let output = layered(&sink, only("records", records)).oneshot(call).await;

    assert_eq!(output.unwrap().content, json!("call_2"));
    assert_eq!(sink.events()[1].attribute("rows"), Some(&3.into()));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_ends_as_cancelled() {
    let sink = MemorySink::new();
    let mut service = layered(&sink, only("slow", sleeper()));
    let mut call = tokio_test::task::spawn(service.call(ToolCall::new("slow", json!(1_000))));
    assert_pending!(call.poll());
    drop(call);

    assert_eq!(sink.take()[1].outcome(), Some(Outcome::Cancelled));
}

#[tokio::test]
async fn the_service_works_without_layers() {
    let service = every_way_to_fail().build().unwrap();
    let mut call = spawn(&service, ToolCall::new("echo", json!(1)));
    assert!(call.poll().is_ready());
}
