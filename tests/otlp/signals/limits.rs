//! The limits of the attributes and of the events of a record.

use codex_telemetry::{CallContext, Classification, ErrorClass, Operation, otlp::config::Limits};
use opentelemetry::{Array, KeyValue, StringValue, Value};

use super::support::Rig;
use crate::receiver::{LogRecord, Span};

#[test]
fn a_record_has_128_attributes_by_default_and_those_of_the_crate_first() {
    let rig = Rig::new();
    let work = |context: CallContext| {
        (0..1000).for_each(|n| context.record(format!("key {n}"), n));
        Ok(())
    };
    rig.calls
        .run(Operation::Tool, "ls", CallContext::new(), work)
        .unwrap();
    let receiver = rig.flush();
    let span = receiver.spans().remove(0);
    let log = receiver.logs().remove(1);
    for attributes in [&span.attributes, &log.attributes] {
        assert_eq!(attributes.len(), 128);
        assert_eq!(attributes["gen_ai.tool.name"], "ls");
        assert_eq!(attributes["codex.outcome"], "ok");
        assert_eq!(attributes["key 0"], 0);
    }
    // Four are the crate's own.
    assert_eq!(span.dropped_attributes, 1000 - (128 - 4));
}

/// Returns the span of a failed call, and its last log record, with these limits.
fn failed(limit: impl FnOnce(&mut Limits)) -> (Span, LogRecord) {
    failed_with(limit, |context| {
        context.record("a text", "äöü and more");
        let texts = vec![StringValue::from("long enough"), "no".into()];
        context.record("texts", Value::Array(Array::String(texts)));
        context.record("number", 1_234_567);
        (0..3).for_each(|n| context.add_event(format!("event {n}")));
    })
}

/// As [`failed`], of a call that records by `record`.
fn failed_with(
    limit: impl FnOnce(&mut Limits),
    record: impl FnOnce(&CallContext),
) -> (Span, LogRecord) {
    let mut limits = Limits::default();
    limit(&mut limits);
    let rig = Rig::with(|config| config.limits(limits));
    let work = |context: CallContext| {
        record(&context);
        context.classify(Classification::from(ErrorClass::Io).with_message("disk on fire"));
        Err("no")
    };
    rig.calls
        .run(Operation::Tool, "ls", CallContext::new(), work)
        .unwrap_err();
    let receiver = rig.flush();
    (receiver.spans().remove(0), receiver.logs().remove(1))
}

#[test]
fn spans_and_log_records_have_limits_of_their_own() {
    let (span, log) = failed(|limits| {
        limits.spans.attributes.count = 3;
        limits.logs.attributes.count = 4;
    });
    assert_eq!(span.attributes.len(), 3);
    assert_eq!(span.dropped_attributes, 5);
    assert_eq!(log.attributes.len(), 4);
}

#[test]
fn the_class_and_the_reason_of_a_failure_are_the_last_attributes_to_be_left_out() {
    let (span, log) = failed(|limits| {
        limits.spans.attributes.count = 1;
        limits.logs.attributes.count = 3;
    });
    assert_eq!(span.attributes["error.type"], "io");
    let reason = [
        ("error.type", "io"),
        ("exception.message", "disk on fire"),
        ("exception.type", "io"),
    ];
    for (key, value) in reason {
        assert_eq!(log.attribute(key), Some(&value.into()), "{key}");
    }
}

#[test]
fn texts_are_cut_to_a_number_of_characters() {
    let (span, log) = failed(|limits| {
        limits.spans.attributes.value_length = Some(4);
        limits.logs.attributes.value_length = Some(6);
    });
    assert_eq!(span.attributes["a text"], "äöü ");
    assert_eq!(
        format!("{:?}", span.attributes["texts"]),
        r#"["long", "no"]"#
    );
    assert_eq!(span.attributes["number"], 1_234_567);
    assert_eq!(span.events[3].attributes["exception.message"], "disk");
    assert_eq!(log.attributes["a text"], "äöü an");
    assert_eq!(log.attributes["exception.message"], "disk o");
    // No attribute.
    assert_eq!(span.status_message, "disk on fire");
}

#[test]
fn the_exception_is_the_last_span_event_to_be_left_out() {
    let names = |limit| {
        let (span, _) = failed(|limits| limits.span_events = limit);
        let names = span.events.into_iter().map(|event| event.name);
        (names.collect::<Vec<_>>(), span.dropped_events)
    };
    let texts = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(4),
        (texts(&["event 0", "event 1", "event 2", "exception"]), 0)
    );
    assert_eq!(names(2), (texts(&["event 0", "exception"]), 2));
    assert_eq!(names(1), (texts(&["exception"]), 3));
    assert_eq!(names(0), (texts(&[]), 4));
}

#[test]
fn a_span_event_has_its_attributes_within_the_limits_of_those_of_spans() {
    let (span, _) = failed_with(
        |limits| {
            limits.spans.attributes.count = 2;
            limits.spans.attributes.value_length = Some(4);
        },
        |context| {
            let attributes = (0..200).map(|n| KeyValue::new(format!("key {n}"), n));
            let text = KeyValue::new("a text", "äöü and more");
            context.add_event_with("a snapshot", [text].into_iter().chain(attributes));
        },
    );
    let event = &span.events[0];
    assert_eq!(event.name, "a snapshot");
    assert_eq!(event.attributes.len(), 2);
    assert_eq!(event.attributes["a text"], "äöü ");
    assert_eq!(event.attributes["key 0"], 0);
    // 73 by the call, which keeps 128 of 201, and 126 by the limit.
    assert_eq!(event.dropped_attributes, 199);
}
