//! Processors of spans and log records.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use codex_telemetry::{
    CallContext, Classification, ErrorClass, Event, Operation,
    event::names,
    otlp::{Decision, RecordView, Signal},
};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::support::Rig;
use crate::receiver::MockResponse;

/// Makes a failed call of a tool, whose attributes, error and span event have a secret.
fn fail(rig: &Rig) {
    let work = |context: CallContext| {
        context.record("app.user", "secret");
        context.record("app.region", "north");
        context.add_event("secret");
        context.classify(Classification::from(ErrorClass::Io).with_message("secret on fire"));
        Err("no")
    };
    let context = CallContext::new();
    rig.calls
        .run(Operation::Tool, "ls", context, work)
        .unwrap_err();
}

#[test]
fn a_processor_drops_records() {
    let rig = Rig::build(|sink| {
        sink.processor(|record: &mut RecordView<'_>| {
            let is_start = !record.event().kind().is_terminal();
            match record.event().operation() {
                Operation::Tool => Decision::Drop,
                _ if is_start => Decision::Drop,
                _ => Decision::Keep,
            }
        })
    });
    rig.calls.ok(Operation::Tool, "ls", 1);
    rig.calls.ok(Operation::Turn, "reviewer", 1);
    let receiver = rig.flush();
    let spans: Vec<_> = receiver.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(spans, ["invoke_agent reviewer"]);
    let logs = receiver.logs().into_iter().map(|log| log.event_name);
    assert_eq!(logs.collect::<Vec<_>>(), ["codex.turn.stop"]);
}

#[test]
fn metrics_count_what_a_processor_drops() {
    let rig = Rig::build(|sink| sink.processor(|_: &mut RecordView<'_>| Decision::Drop));
    rig.calls.ok(Operation::Tool, "ls", 1);
    let receiver = rig.flush();
    assert_eq!(receiver.spans(), []);
    assert_eq!(receiver.logs(), []);
    let metric = receiver.metric("gen_ai.execute_tool.duration").unwrap();
    assert_eq!(metric.points.len(), 1);
}

#[test]
fn a_processor_reads_changes_adds_and_removes_attributes() {
    let rig = Rig::build(|sink| {
        sink.processor(|record: &mut RecordView<'_>| {
            record.set_attribute("team", "blue");
            record.set_attribute("gen_ai.tool.name", "a tool");
            record.remove_attribute("app.user");
            if record.attribute("app.region") == Some(&"north".into()) {
                record.set_attribute("app.region", "somewhere");
            }
            record
                .attributes_mut()
                .retain(|attribute| attribute.key.as_str() != "codex.outcome");
        })
    });
    fail(&rig);
    let receiver = rig.flush();
    let span = receiver.spans().remove(0);
    let log = receiver.logs().remove(1);
    for attributes in [&span.attributes, &log.attributes] {
        assert_eq!(attributes["team"], "blue");
        assert_eq!(attributes["gen_ai.tool.name"], "a tool");
        assert_eq!(attributes["app.region"], "somewhere");
        assert!(!attributes.contains_key("app.user"));
        assert!(!attributes.contains_key("codex.outcome"));
    }
    assert_eq!(span.dropped_attributes, 0);
}

#[test]
fn a_processor_changes_and_removes_contents() {
    let rig = Rig::start(
        |config| config.capture_content(true),
        |sink| {
            sink.processor(|record: &mut RecordView<'_>| {
                record.remove_attribute(names::INPUT_MESSAGES);
                if record.attribute(names::OUTPUT_MESSAGES).is_some() {
                    record.set_attribute(names::OUTPUT_MESSAGES, "***");
                }
            })
        },
    );
    let work = |context: CallContext| {
        context.record_content(names::INPUT_MESSAGES, || "secret".to_owned());
        context.record_content(names::OUTPUT_MESSAGES, || "secret".to_owned());
        Ok(())
    };
    let context = CallContext::new();
    rig.calls
        .run(Operation::Turn, "reviewer", context, work)
        .unwrap();
    let span = rig.flush().spans().remove(0);
    assert_eq!(span.attribute(names::INPUT_MESSAGES), None);
    assert_eq!(span.attributes[names::OUTPUT_MESSAGES], "***");
}

#[test]
fn a_processor_changes_the_text_of_an_error_wherever_it_is() {
    let rig = Rig::build(|sink| {
        sink.processor(|record: &mut RecordView<'_>| {
            if let Some(message) = record.message_mut() {
                *message = message.replace("secret", "***");
            }
        })
    });
    fail(&rig);
    let receiver = rig.flush();
    let span = receiver.spans().remove(0);
    assert_eq!(span.status_message, "*** on fire");
    let exception = span.events.last().unwrap();
    assert_eq!(exception.attributes["exception.message"], "*** on fire");
    let log = receiver.logs().remove(1);
    assert_eq!(log.attributes["exception.message"], "*** on fire");
}

#[test]
fn a_processor_removes_the_text_of_an_error_and_leaves_the_error() {
    let rig = Rig::build(|sink| {
        sink.processor(|record: &mut RecordView<'_>| *record.message_mut() = None)
    });
    fail(&rig);
    let receiver = rig.flush();
    let span = receiver.spans().remove(0);
    assert_eq!(span.status, StatusCode::Error);
    assert_eq!(span.status_message, "");
    let exception = span.events.last().unwrap();
    assert_eq!(exception.attributes["exception.type"], "io");
    assert!(!exception.attributes.contains_key("exception.message"));
    let log = receiver.logs().remove(1);
    assert_eq!(log.attribute("exception.message"), None);
}

#[test]
fn the_text_of_an_error_on_a_call_that_has_not_failed_is_ignored() {
    let rig = Rig::build(|sink| {
        sink.processor(|record: &mut RecordView<'_>| {
            *record.message_mut() = Some("an error".to_owned());
        })
    });
    rig.calls.ok(Operation::Tool, "ls", 1);
    let receiver = rig.flush();
    let span = receiver.spans().remove(0);
    assert_eq!(span.status_message, "");
    assert_eq!(span.events, []);
    for log in receiver.logs() {
        assert_eq!(log.attribute("exception.message"), None);
    }
}

#[test]
fn a_processor_renames_spans_and_changes_their_events() {
    let rig = Rig::build(|sink| {
        sink.processor(|record: &mut RecordView<'_>| {
            record.set_span_name("a span");
            for event in record.span_events_mut() {
                event.name = "an event".into();
            }
        })
    });
    fail(&rig);
    let receiver = rig.flush();
    let span = receiver.spans().remove(0);
    assert_eq!(span.name, "a span");
    assert_eq!(span.events[0].name, "an event");
    let logs = receiver.logs().into_iter().map(|log| log.event_name);
    assert_eq!(
        logs.collect::<Vec<_>>(),
        ["codex.tool.start", "codex.tool.exception"]
    );
}

#[test]
fn processors_run_in_their_order_until_one_drops_the_record() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let rig = Rig::build(|sink| {
        let (first, second) = (Arc::clone(&seen), Arc::clone(&seen));
        sink.processor(move |record: &mut RecordView<'_>| {
            let thread = thread::current().name().unwrap().to_owned();
            let name = record.name().to_owned();
            first.lock().unwrap().push((thread, record.signal(), name));
            record.set_span_name("renamed");
            match record.signal() {
                Signal::Traces => Decision::Keep,
                _ => Decision::Drop,
            }
        })
        .processor(move |record: &mut RecordView<'_>| {
            let name = record.name().to_owned();
            let entry = ("second".to_owned(), record.signal(), name);
            second.lock().unwrap().push(entry);
        })
    });
    rig.calls.ok(Operation::Tool, "ls", 1);
    rig.flush();
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    let first = |signal, name: &str| ("codex-telemetry-otlp".to_owned(), signal, name.to_owned());
    assert_eq!(
        seen,
        [
            first(Signal::Traces, "execute_tool ls"),
            first(Signal::Logs, "codex.tool.start"),
            first(Signal::Logs, "codex.tool.stop"),
            ("second".to_owned(), Signal::Traces, "renamed".to_owned()),
        ]
    );
}

#[test]
fn a_record_whose_processor_panics_is_not_exported_and_the_others_are() {
    let rig = Rig::build(|sink| {
        sink.processor(|record: &mut RecordView<'_>| {
            let is_failed = record.event().error_class().is_some();
            assert!(!is_failed, "a panic that the test expects");
        })
    });
    fail(&rig);
    rig.calls.ok(Operation::Tool, "cat", 1);
    fail(&rig);
    let receiver = rig.flush();
    let spans: Vec<_> = receiver.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(spans, ["execute_tool cat"]);
    let logs = receiver.logs().into_iter().map(|log| log.event_name);
    assert_eq!(
        logs.collect::<Vec<_>>(),
        [
            "codex.tool.start",
            "codex.tool.start",
            "codex.tool.stop",
            "codex.tool.start"
        ]
    );
}

#[test]
fn a_processor_whose_panic_panics_again_when_it_is_dropped_does_not_end_the_export() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a second panic that the test expects");
        }
    }

    let rig = Rig::build(|sink| {
        sink.processor(|record: &mut RecordView<'_>| {
            if record.event().error_class().is_some() {
                std::panic::panic_any(Bomb);
            }
        })
    });
    fail(&rig);
    rig.calls.ok(Operation::Tool, "cat", 1);
    let spans = rig.flush().spans().into_iter().map(|span| span.name);
    assert_eq!(spans.collect::<Vec<_>>(), ["execute_tool cat"]);
}

#[test]
fn what_a_processor_leaves_out_is_counted_as_filtered_and_not_as_failed() {
    let rig = Rig::build(|sink| {
        sink.processor(|record: &mut RecordView<'_>| {
            assert_ne!(
                record.name(),
                "codex.tool.start",
                "a panic that the test expects"
            );
            match record.signal() {
                Signal::Traces => Decision::Drop,
                _ => Decision::Keep,
            }
        })
    });
    rig.calls.ok(Operation::Tool, "ls", 1);
    rig.flush();
    let stats = rig.sink.stats();
    let counts = |signal| {
        let of = stats.of(signal);
        (of.accepted, of.exported, of.filtered, of.failed, of.pending)
    };
    assert_eq!(counts(Signal::Traces), (1, 0, 1, 0, 0));
    assert_eq!(counts(Signal::Logs), (2, 1, 1, 0, 0));
}

#[test]
fn a_processor_runs_once_for_each_record_however_often_it_is_sent() {
    let count = Arc::new(AtomicUsize::new(0));
    let rig = Rig::build(|sink| {
        let count = Arc::clone(&count);
        sink.processor(move |record: &mut RecordView<'_>| {
            let number = count.fetch_add(1, Relaxed);
            record.set_attribute("number", i64::try_from(number).unwrap());
        })
    });
    // The first request of each signal, at least.
    rig.receiver.respond_next(3, MockResponse::Status(503));
    rig.calls.ok(Operation::Tool, "ls", 1);
    let receiver = rig.flush();
    assert!(receiver.requests().len() > 5, "nothing was sent twice");
    assert_eq!(count.load(Relaxed), 3);
    let spans = receiver.spans().into_iter().map(|span| span.attributes);
    let logs = receiver.logs().into_iter().map(|log| log.attributes);
    let numbers: BTreeSet<_> = spans
        .chain(logs)
        .map(|attributes| attributes["number"].as_int())
        .collect();
    assert_eq!(numbers, BTreeSet::from([Some(0), Some(1), Some(2)]));
}

#[test]
fn the_debug_output_of_a_record_shows_no_values() {
    let shown = Arc::new(Mutex::new(String::new()));
    let rig = Rig::build(|sink| {
        let shown = Arc::clone(&shown);
        sink.processor(move |record: &mut RecordView<'_>| {
            shown.lock().unwrap().push_str(&format!("{record:?}"));
        })
    });
    fail(&rig);
    rig.flush();
    let shown = shown.lock().unwrap();
    assert!(shown.contains("codex.tool.exception"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn a_processor_sees_the_event_of_each_record() {
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let rig = Rig::build(|sink| {
        let events = Arc::clone(&events);
        sink.processor(move |record: &mut RecordView<'_>| {
            if record.signal() == Signal::Traces {
                events.lock().unwrap().push(record.event().clone());
            }
        })
    });
    fail(&rig);
    rig.flush();
    let events = events.lock().unwrap();
    assert_eq!(events[0].error_message(), Some("secret on fire"));
    assert_eq!(events[0].attribute("app.user"), Some(&"secret".into()));
}
