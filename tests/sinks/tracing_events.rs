//! Events through `tracing`.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use codex_telemetry::{CallContext, ErrorClass, Event, Originator, Outcome, TracingSink};
use tracing::{Dispatch, Level, Metadata, Subscriber, field::Visit, span};

use crate::{checked::Fault, support::*};

/// One `tracing` event: where to, how loud, and with which fields.
#[derive(Clone, Debug)]
struct Said {
    target: String,
    level: Level,
    fields: BTreeMap<&'static str, String>,
}

/// A subscriber that notes every event, or panics over it.
#[derive(Clone, Default)]
struct Ear {
    heard: Arc<Mutex<Vec<Said>>>,
    panics: bool,
}

impl Ear {
    fn heard(&self) -> Vec<Said> {
        let heard = self.heard.lock().expect("no panic under the lock");
        heard.clone()
    }
}

impl Subscriber for Ear {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.heard
            .lock()
            .expect("no panic under the lock")
            .push(Said {
                target: event.metadata().target().to_owned(),
                level: *event.metadata().level(),
                fields: fields.0,
            });
        assert!(!self.panics, "the subscriber");
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// Runs `work` while `ear` listens on this thread.
fn listening(ear: &Ear, work: impl FnOnce()) {
    // While `tracing` knows of one subscriber alone, it asks the thread that comes by a line first
    // whether anybody listens, and believes it for all threads. A second one, kept, prevents that.
    static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Ear::default()));
    LazyLock::force(&SECOND);
    tracing::subscriber::with_default(ear.clone(), work);
}

/// What the sink says of the end of a turn with this outcome.
fn end(outcome: Outcome) -> Said {
    let ear = Ear::default();
    listening(&ear, || Stage::new(TracingSink::new()).turn(outcome));
    let mut heard = ear.heard();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert_eq!(heard[0].level, Level::DEBUG);
    assert_eq!(heard[0].fields["event"], "codex.turn.start");
    assert!(heard.iter().all(|s| s.target == "codex_telemetry::events"));
    heard.remove(1)
}

#[test]
fn the_level_tells_how_a_call_ended() {
    for (outcome, level) in [
        (Outcome::Ok, Level::INFO),
        (Outcome::Cancelled, Level::INFO),
        (Outcome::Error, Level::WARN),
        (Outcome::Panic, Level::ERROR),
    ] {
        let said = end(outcome);
        assert_eq!(said.level, level, "{outcome}");
        assert_eq!(said.fields["outcome"], outcome.as_str());
    }
}

#[test]
fn fields_that_are_unknown_are_absent() {
    let said = end(Outcome::Ok);
    let known: Vec<_> = said.fields.keys().copied().collect();
    assert_eq!(
        known,
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
fn all_that_is_known_of_a_call_is_in_the_fields() {
    let ear = Ear::default();
    let stage = Stage::new(TracingSink::new());
    let context = CallContext::new()
        .with_traceparent(PARENT, None)
        .with_originator(Originator::Cli)
        .with_thread_id("thread")
        .with_turn_id("turn")
        .with_call_id("call");
    let request = turn().with_name("reviewer").with_context(context);
    listening(&ear, || {
        stage.call(request, Outcome::Error, |context| {
            stage.manual.advance(Duration::from_micros(9));
            let error = std::io::Error::other("disk on fire");
            context.classify(codex_telemetry::Classification::of(ErrorClass::Io, &error));
        });
    });

    let fields = &ear.heard()[1].fields;
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

// === the crate's own warnings ===

#[test]
fn a_sink_that_panics_is_warned_of_once() {
    let ear = Ear::default();
    let stage = Stage::new(|_: Event| panic!("the sink")).expecting(Fault::Open);
    listening(&ear, || {
        (0..3).for_each(|_| stage.turn(Outcome::Ok));
    });
    let heard = ear.heard();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0].level, Level::WARN);
    assert_eq!(heard[0].target, "codex_telemetry");
}

#[test]
fn a_subscriber_that_panics_is_not_felt_by_the_call() {
    let ear = Ear {
        panics: true,
        ..Ear::default()
    };
    // It panics on the start, and with it the sink.
    let stage = Stage::new(TracingSink::new()).expecting(Fault::Open);
    let unwinding = AssertUnwindSafe(|| {
        listening(&ear, || {
            (0..3).for_each(|_| stage.turn(Outcome::Ok));
        });
    });
    assert!(catch_unwind(unwinding).is_ok(), "the calls felt it");
    // The start, and the warning that the sink which handed it over is detached.
    assert_eq!(ear.heard().len(), 2);
}

#[cfg(feature = "json")]
#[test]
fn a_writer_that_fails_is_warned_of_once() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is full"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let ear = Ear::default();
    let sink = Arc::new(codex_telemetry::JsonLinesSink::new(Full));
    let stage = Stage::new(Arc::clone(&sink));
    listening(&ear, || {
        (0..3).for_each(|_| stage.turn(Outcome::Ok));
    });
    let heard = ear.heard();
    assert_eq!((heard.len(), sink.failed()), (1, 6), "{heard:?}");
    assert_eq!(heard[0].fields["error"], "the disk is full");
}
