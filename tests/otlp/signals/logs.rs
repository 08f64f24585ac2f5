//! Log records: one for each event.

use codex_telemetry::{
    CallContext, Classification, ErrorClass, Operation, Originator, otlp::config::LogSelection,
};

use super::support::{Rig, millis, nanos};

const OPERATIONS: [Operation; 3] = [
    Operation::Turn,
    Operation::Tool,
    Operation::AttachmentCleanup,
];

#[test]
fn every_event_is_one_log_record_with_its_name() {
    let rig = Rig::new();
    for operation in OPERATIONS {
        rig.calls.ok(operation, "x", 1);
        let context = CallContext::new();
        rig.calls
            .run(operation, "x", context, |_| Err("no"))
            .unwrap_err();
    }
    let logs = rig.flush().logs();
    let names: Vec<_> = logs.iter().map(|log| &*log.event_name).collect();
    assert_eq!(
        names,
        [
            "codex.turn.start",
            "codex.turn.stop",
            "codex.turn.start",
            "codex.turn.exception",
            "codex.tool.start",
            "codex.tool.stop",
            "codex.tool.start",
            "codex.tool.exception",
            "codex.attachment.cleanup.start",
            "codex.attachment.cleanup.stop",
            "codex.attachment.cleanup.start",
            "codex.attachment.cleanup.exception",
        ]
    );
    for log in logs {
        assert_eq!(log.body, Some((&*log.event_name).into()));
    }
}

#[test]
fn an_event_of_a_custom_operation_has_its_own_name() {
    let rig = Rig::new();
    rig.calls.ok(Operation::Custom("billing.sync"), "x", 1);
    let logs = rig.flush().logs();
    let names: Vec<_> = logs.iter().map(|log| &*log.event_name).collect();
    assert_eq!(names, ["billing.sync.start", "billing.sync.stop"]);
    assert_eq!(logs[0].body, Some("billing.sync.start".into()));
}

#[test]
fn a_log_record_has_the_context_of_its_span() {
    let rig = Rig::new();
    rig.calls.ok(Operation::Turn, "x", 1);
    let receiver = rig.flush();
    let span = receiver.spans().remove(0);
    for log in receiver.logs() {
        assert_eq!(log.trace_id.as_ref(), Some(&span.trace_id));
        assert_eq!(log.span_id.as_ref(), Some(&span.span_id));
        assert_eq!(log.flags, span.flags & 0xff);
    }
}

#[test]
fn a_log_record_has_the_time_of_its_event() {
    let rig = Rig::new();
    rig.calls.ok(Operation::Turn, "x", 250);
    let logs = rig.flush().logs();
    assert_eq!(logs[0].time_nanos, nanos(millis(0)));
    assert_eq!(logs[1].time_nanos, nanos(millis(250)));
    for log in logs {
        assert_ne!(log.observed_nanos, 0);
    }
}

#[test]
fn a_log_record_has_the_attributes_of_its_event() {
    let rig = Rig::new();
    let context = CallContext::new()
        .with_originator(Originator::Sdk)
        .with_thread_id("thread-1")
        .with_call_id("call-1");
    let work = |context: CallContext| {
        context.record("list", opentelemetry::Value::Array(vec![1_i64, 2].into()));
        context.record("share", 0.5);
        context.record("truth", true);
        context.classify(Classification::from(ErrorClass::Io).with_message("disk on fire"));
        rig.calls.advance(250);
        Err("disk on fire")
    };
    rig.calls
        .run(Operation::Tool, "ls", context, work)
        .unwrap_err();
    let logs = rig.flush().logs();
    let start = &logs[0].attributes;
    assert_eq!(start["gen_ai.operation.name"], "execute_tool");
    assert_eq!(start["gen_ai.tool.name"], "ls");
    assert_eq!(start["gen_ai.tool.call.id"], "call-1");
    assert_eq!(start["gen_ai.conversation.id"], "thread-1");
    assert_eq!(start["codex.originator"], "sdk");
    assert_eq!(start.len(), 5, "{start:?}");
    let end = &logs[1].attributes;
    for (key, value) in start {
        assert_eq!(end.get(key), Some(value));
    }
    assert_eq!(end["codex.duration_ms"], 250.0);
    assert_eq!(end["codex.outcome"], "error");
    assert_eq!(end["error.type"], "io");
    assert_eq!(end["exception.type"], "io");
    assert_eq!(end["exception.message"], "disk on fire");
    assert_eq!(format!("{:?}", end["list"]), "[1, 2]");
    assert_eq!(end["share"], 0.5);
    assert_eq!(end["truth"], true);
    assert_eq!(end.len(), 13, "{end:?}");
}

#[test]
fn a_recorded_value_does_not_replace_an_attribute_of_the_crate_on_a_log_record() {
    let rig = Rig::new();
    let work = |context: CallContext| {
        context.record("exception.type", "recorded");
        context.record("exception.message", "recorded");
        context.record("error.type", "recorded");
        context.classify(Classification::from(ErrorClass::Io).with_message("the error's"));
        Err("no")
    };
    let context = CallContext::new();
    rig.calls
        .run(Operation::Tool, "ls", context, work)
        .unwrap_err();
    let end = rig.flush().logs().remove(1).attributes;
    assert_eq!(end["error.type"], "io");
    assert_eq!(end["exception.type"], "io");
    assert_eq!(end["exception.message"], "the error's");
}

#[test]
fn the_log_record_of_a_cancelled_call_has_its_class_and_no_message() {
    let rig = Rig::new();
    drop(
        rig.calls
            .start(Operation::Tool, "x", CallContext::new(), |_| Ok(())),
    );
    let end = rig.flush().logs().remove(1);
    assert_eq!(end.event_name, "codex.tool.exception");
    assert_eq!(end.attributes["exception.type"], "cancelled");
    assert_eq!(end.attributes["error.type"], "cancelled");
    assert_eq!(end.attribute("exception.message"), None);
}

/// Returns the names of the log records of a successful, a failed and a cancelled call.
fn selected(selection: LogSelection) -> Vec<String> {
    let rig = Rig::with(|config| config.log_selection(selection));
    rig.calls.ok(Operation::Tool, "x", 1);
    let context = CallContext::new();
    let failed = rig.calls.run(Operation::Turn, "x", context, |_| Err("no"));
    failed.unwrap_err();
    let context = CallContext::new();
    let cancelled = rig
        .calls
        .start(Operation::AttachmentCleanup, "", context, |_| Ok(()));
    drop(cancelled);
    let receiver = rig.flush();
    assert_eq!(receiver.spans().len(), 3);
    let logs = receiver.logs().into_iter();
    logs.map(|log| log.event_name).collect()
}

#[test]
fn all_log_records_are_exported_by_default() {
    assert_eq!(LogSelection::default(), LogSelection::All);
    assert_eq!(
        selected(LogSelection::All),
        [
            "codex.tool.start",
            "codex.tool.stop",
            "codex.turn.start",
            "codex.turn.exception",
            "codex.attachment.cleanup.start",
            "codex.attachment.cleanup.exception",
        ]
    );
}

#[test]
fn the_log_records_of_the_ends_can_be_selected() {
    assert_eq!(
        selected(LogSelection::Ends),
        [
            "codex.tool.stop",
            "codex.turn.exception",
            "codex.attachment.cleanup.exception",
        ]
    );
}

#[test]
fn the_log_records_of_the_exceptions_can_be_selected() {
    assert_eq!(
        selected(LogSelection::Exceptions),
        ["codex.turn.exception", "codex.attachment.cleanup.exception"]
    );
}

#[test]
fn log_records_have_the_scope_of_the_crate() {
    let rig = Rig::new();
    rig.calls.ok(Operation::Tool, "ls", 1);
    let log = rig.flush().logs().remove(0);
    assert_eq!(log.origin.scope, "codex-telemetry");
    assert_eq!(log.origin.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(
        log.origin.scope_schema,
        "https://opentelemetry.io/schemas/1.45.0"
    );
}
