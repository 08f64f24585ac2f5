//! The contents of messages and of tool calls: on spans alone, by opting in alone.

use codex_telemetry::{
    CallContext, Operation,
    event::names,
    otlp::{Decision, RecordView, Signal, config::Sampler},
};

use super::support::Rig;
use crate::{
    receiver::Value,
    rig::{PATIENCE, Recorder, spans_only},
};

const SECRET: &str = "hunter2";
const KEYS: [&str; 4] = [
    names::INPUT_MESSAGES,
    names::OUTPUT_MESSAGES,
    names::TOOL_CALL_ARGUMENTS,
    names::TOOL_CALL_RESULT,
];

/// Makes a call that has all contents.
fn call(rig: &Rig) {
    let work = |context: CallContext| {
        for key in KEYS {
            context.record_content(key, || format!("{SECRET} {key}"));
        }
        Err("no")
    };
    let call = rig
        .calls
        .run(Operation::Tool, "x", CallContext::new(), work);
    call.unwrap_err();
}

#[test]
fn spans_have_the_content_and_log_records_do_not() {
    let rig = Rig::with(|config| config.capture_content(true));
    call(&rig);
    let receiver = rig.flush();
    let span = receiver.spans().remove(0);
    for key in KEYS {
        let content = Value::from(&*format!("{SECRET} {key}"));
        assert_eq!(span.attribute(key), Some(&content));
    }
    let logs = receiver.logs();
    assert_eq!(logs.len(), 2);
    assert!(!format!("{logs:?}").contains(SECRET), "{logs:?}");
}

#[test]
fn a_processor_sees_the_content_and_can_remove_it() {
    let rig = Rig::start(
        |config| config.capture_content(true),
        |sink| {
            sink.processor(|record: &mut RecordView<'_>| {
                if record.signal() == Signal::Traces {
                    let removed = record.remove_attribute(names::INPUT_MESSAGES);
                    assert!(removed.unwrap().as_str().contains(SECRET));
                }
                Decision::Keep
            })
        },
    );
    call(&rig);
    let span = rig.flush().spans().remove(0);
    assert_eq!(span.attribute(names::INPUT_MESSAGES), None);
    assert!(span.attribute(names::OUTPUT_MESSAGES).is_some());
}

#[test]
fn by_default_no_content_is_collected() {
    let rig = Rig::new();
    let work = |context: CallContext| {
        assert!(!context.captures_content());
        context.record_content(names::INPUT_MESSAGES, || {
            panic!("the content was collected")
        });
        Ok(())
    };
    let call = rig
        .calls
        .run(Operation::Turn, "x", CallContext::new(), work);
    call.unwrap();
    assert_eq!(
        rig.flush().spans()[0].attribute(names::INPUT_MESSAGES),
        None
    );
}

#[test]
fn no_content_is_collected_if_no_spans_are_exported() {
    let rig = Rig::with(|config| {
        let config = config.capture_content(true);
        config.signals([Signal::Logs, Signal::Metrics])
    });
    let work = |context: CallContext| {
        assert!(!context.captures_content());
        Ok(())
    };
    let call = rig
        .calls
        .run(Operation::Turn, "x", CallContext::new(), work);
    call.unwrap();
}

#[test]
fn the_content_of_a_trace_that_was_not_sampled_is_collected_only_if_failures_are_kept() {
    for keeps_failures in [false, true] {
        let rig = Rig::with(|config| {
            let config = config.capture_content(true).sampler(Sampler::AlwaysOff);
            config.keep_failures(keeps_failures)
        });
        let work = |context: CallContext| {
            assert_eq!(context.captures_content(), keeps_failures);
            context.record_content(names::INPUT_MESSAGES, || {
                assert!(keeps_failures, "the content was collected");
                SECRET.to_owned()
            });
            Err("no")
        };
        let call = rig
            .calls
            .run(Operation::Turn, "x", CallContext::new(), work);
        call.unwrap_err();
        let spans = rig.flush().spans();
        assert_eq!(format!("{spans:?}").contains(SECRET), keeps_failures);
    }
}

#[test]
fn a_custom_exporter_of_spans_gets_the_content() {
    let recorder = Recorder::default();
    let sink = spans_only(|config| config.capture_content(true))
        .span_exporter(recorder.clone())
        .start();
    let calls = super::support::Calls::new(sink.clone());
    let work = |context: CallContext| {
        context.record_content(names::INPUT_MESSAGES, || SECRET.to_owned());
        Ok(())
    };
    let call = calls.run(Operation::Turn, "x", CallContext::new(), work);
    call.unwrap();
    sink.blocking_shutdown(PATIENCE).unwrap();
    assert!(format!("{:?}", recorder.spans()).contains(SECRET));
}

#[test]
fn an_attribute_and_a_content_with_the_same_key_are_one_attribute() {
    let rig = Rig::with(|config| config.capture_content(true));
    let work = |context: CallContext| {
        context.record(names::INPUT_MESSAGES, "recorded");
        context.record_content(names::INPUT_MESSAGES, || SECRET.to_owned());
        Ok(())
    };
    let call = rig
        .calls
        .run(Operation::Turn, "x", CallContext::new(), work);
    call.unwrap();
    // The receiver would reject a key that comes twice.
    let span = rig.flush().spans().remove(0);
    assert_eq!(
        span.attribute(names::INPUT_MESSAGES),
        Some(&"recorded".into())
    );
}
