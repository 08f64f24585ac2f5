//! `TracingSink`, and the warnings of this crate.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use codex_telemetry::{
    CallContext, ErrorClass, Event, Interest, Originator, Outcome, Phase, Sink, TracingSink,
    event::names,
};
use tracing::Level;

use crate::{
    checked::Fault,
    subscriber::{MockSubscriber, Recorded, with_subscriber},
    support::*,
};

const TARGET: &str = "codex_telemetry::events";

/// Returns the `tracing` event for the end of a turn with this outcome.
fn end(outcome: Outcome) -> Recorded {
    let subscriber = MockSubscriber::default();
    with_subscriber(&subscriber, || {
        Harness::new(TracingSink::new()).turn(outcome);
    });
    let mut events = subscriber.events();
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0].level, Level::INFO);
    assert_eq!(events[0].fields["event"], "codex.turn.start");
    assert!(events.iter().all(|event| event.target == TARGET));
    events.remove(1)
}

#[test]
fn the_sink_wants_events_while_the_subscriber_enables_its_target() {
    let interest =
        |subscriber: &MockSubscriber| with_subscriber(subscriber, || TracingSink::new().interest());
    assert_eq!(interest(&MockSubscriber::default()), Interest::ALL);
    let subscriber = MockSubscriber {
        disabled: Some(TARGET),
        ..MockSubscriber::default()
    };
    assert_eq!(interest(&subscriber), Interest::NONE);
}

#[test]
fn a_subscriber_of_failures_alone_wants_no_starts() {
    let subscriber = MockSubscriber {
        only_failures: true,
        ..MockSubscriber::default()
    };
    with_subscriber(&subscriber, || {
        assert_eq!(TracingSink::new().interest(), Interest::ENDS);
        Harness::new(TracingSink::new()).turn(Outcome::Ok);
        Harness::new(TracingSink::new()).turn(Outcome::Error);
    });
    let [failure] = &subscriber.events()[..] else {
        panic!("one event");
    };
    assert_eq!(failure.level, Level::WARN);
}

#[test]
fn the_level_depends_on_the_outcome() {
    for (outcome, level) in [
        (Outcome::Ok, Level::INFO),
        (Outcome::Cancelled, Level::INFO),
        (Outcome::Error, Level::WARN),
        (Outcome::Panic, Level::ERROR),
    ] {
        let event = end(outcome);
        assert_eq!(event.level, level, "{outcome}");
        assert_eq!(event.fields["outcome"], outcome.as_str());
    }
}

#[test]
fn unknown_fields_are_absent() {
    let event = end(Outcome::Ok);
    let fields: Vec<_> = event.fields.keys().copied().collect();
    assert_eq!(
        fields,
        [
            "attempt",
            "duration_ms",
            "event",
            "outcome",
            "span_id",
            "trace_id"
        ]
    );
}

#[test]
fn every_known_value_is_a_field() {
    let subscriber = MockSubscriber::default();
    let harness = Harness::new(TracingSink::new());
    let context = CallContext::new()
        .with_traceparent(PARENT, None)
        .with_originator(Originator::Cli)
        .with_thread_id("thread")
        .with_turn_id("turn")
        .with_call_id("call");
    let request = turn().with_name("reviewer").with_context(context);
    with_subscriber(&subscriber, || {
        harness.call(request, Outcome::Error, |context| {
            harness.manual.advance(Duration::from_micros(9));
            let error = std::io::Error::other("disk on fire");
            context.classify(codex_telemetry::Classification::of(ErrorClass::Io, &error));
        });
    });

    let fields = &subscriber.events()[1].fields;
    for (key, value) in [
        ("event", "codex.turn.exception"),
        ("name", "reviewer"),
        ("outcome", "error"),
        ("duration_ms", "0.009"),
        ("error_class", "io"),
        ("error_message", "disk on fire"),
        ("originator", "cli"),
        ("thread_id", "thread"),
        ("turn_id", "turn"),
        ("call_id", "call"),
        ("attempt", "1"),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
    ] {
        assert_eq!(fields.get(key).map(String::as_str), Some(value), "{key}");
    }
}

#[test]
fn a_turn_that_was_cancelled_while_it_waited_for_an_approval_says_so_in_one_line() {
    let subscriber = MockSubscriber::default();
    let harness = Harness::new(TracingSink::new());
    with_subscriber(&subscriber, || {
        harness.call(turn(), Outcome::Cancelled, |context| {
            context.record(names::PHASE, Phase::Approval.as_str());
        });
    });
    let [start, end] = &subscriber.events()[..] else {
        panic!("a call has two events");
    };
    assert_eq!(start.fields.get("phase"), None);
    assert_eq!(end.fields["outcome"], "cancelled");
    assert_eq!(end.fields["phase"], "approval");
}

// === warnings ===

#[test]
fn one_warning_is_logged_for_a_sink_that_panics() {
    let subscriber = MockSubscriber::default();
    let harness = Harness::new(|_: Event| panic!("the sink")).expecting(Fault::Open);
    with_subscriber(&subscriber, || {
        (0..3).for_each(|_| harness.turn(Outcome::Ok));
    });
    let events = subscriber.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].level, Level::WARN);
    assert_eq!(events[0].target, "codex_telemetry");
}

#[test]
fn a_panic_of_the_subscriber_does_not_reach_the_call() {
    let subscriber = MockSubscriber {
        panics: true,
        ..MockSubscriber::default()
    };
    // The subscriber panics in the sink, at the start of the first call.
    let harness = Harness::new(TracingSink::new()).expecting(Fault::Open);
    let unwinding = AssertUnwindSafe(|| {
        with_subscriber(&subscriber, || {
            (0..3).for_each(|_| harness.turn(Outcome::Ok));
        });
    });
    assert!(catch_unwind(unwinding).is_ok(), "a call panicked");
    // The start, and the warning that the sink is detached.
    assert_eq!(subscriber.events().len(), 2);
}

#[cfg(feature = "json")]
#[test]
fn one_warning_is_logged_for_a_writer_that_fails() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is full"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let subscriber = MockSubscriber::default();
    let sink = std::sync::Arc::new(codex_telemetry::JsonLinesSink::new(Full));
    let harness = Harness::new(std::sync::Arc::clone(&sink));
    with_subscriber(&subscriber, || {
        (0..3).for_each(|_| harness.turn(Outcome::Ok));
    });
    let events = subscriber.events();
    assert_eq!((events.len(), sink.failed()), (1, 6), "{events:?}");
    assert_eq!(events[0].fields["error"], "the disk is full");
}
