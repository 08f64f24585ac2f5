//! The severity of an event is the same in every sink.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

use codex_telemetry::{CallContext, FanOut, Operation, TracingSink};
use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use tracing::{Event, Metadata, Subscriber, span, subscriber::with_default};

use super::support::{Calls, Rig};

/// A subscriber that records the levels of the events.
#[derive(Clone, Default)]
struct Levels(Arc<Mutex<Vec<String>>>);

impl Subscriber for Levels {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "codex_telemetry::events"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = event.metadata().level().to_string();
        self.0.lock().unwrap().push(level);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// A writer of JSON lines that keeps them.
#[cfg(feature = "json")]
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

#[cfg(feature = "json")]
impl Lines {
    fn severities(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        let lines = lines.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        let severity = |line: &[u8]| {
            let line: serde_json::Value = serde_json::from_slice(line).unwrap();
            line["severity"].as_str().unwrap().to_owned()
        };
        lines.map(severity).collect()
    }
}

#[cfg(feature = "json")]
impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Makes a call that succeeds, one that fails, one that is cancelled and one that panics.
fn call_with_every_outcome(calls: &Calls) {
    let run = |work: fn() -> super::support::Done| {
        calls.run(Operation::Tool, "ls", CallContext::new(), |_| work())
    };
    run(|| Ok(())).unwrap();
    run(|| Err("no")).unwrap_err();
    drop(calls.start(Operation::Tool, "ls", CallContext::new(), |_| Ok(())));
    let panic = || run(|| panic!("a panic that the test expects"));
    assert!(catch_unwind(AssertUnwindSafe(panic)).is_err());
}

const EXPECTED: [&str; 8] = [
    "INFO", "INFO", // ok
    "INFO", "WARN", // error
    "INFO", "INFO", // cancelled
    "INFO", "ERROR", // panic
];

#[test]
fn an_event_has_the_same_severity_in_every_sink() {
    let rig = Rig::new();
    let levels = Levels::default();
    let sinks = FanOut::new()
        .with(rig.sink.clone())
        .with(TracingSink::new());
    #[cfg(feature = "json")]
    let lines = Lines::default();
    #[cfg(feature = "json")]
    let sinks = sinks.with(codex_telemetry::JsonLinesSink::new(lines.clone()));
    let calls = Calls::new(sinks);
    with_default(levels.clone(), || call_with_every_outcome(&calls));
    drop(calls);

    let logs = rig.flush().logs();
    let texts: Vec<_> = logs.iter().map(|log| &*log.severity_text).collect();
    assert_eq!(texts, EXPECTED);
    let numbers = logs.iter().map(|log| match log.severity {
        SeverityNumber::Info => "INFO",
        SeverityNumber::Warn => "WARN",
        SeverityNumber::Error => "ERROR",
        other => panic!("{other:?}"),
    });
    assert_eq!(numbers.collect::<Vec<_>>(), EXPECTED);
    assert_eq!(*levels.0.lock().unwrap(), EXPECTED);
    #[cfg(feature = "json")]
    assert_eq!(lines.severities(), EXPECTED);
}
