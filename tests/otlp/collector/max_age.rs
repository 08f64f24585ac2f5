//! An export is retried for a limited time.

use std::time::Duration;

use codex_telemetry::otlp::{Signal, config::Limits};

use crate::{
    receiver::{MockResponse, closed_port},
    rig::{PATIENCE, Wire, calls, only},
};

const MAX_AGE: Duration = Duration::from_secs(1);

#[test]
fn a_batch_that_is_never_accepted_fails_at_its_maximum_age() {
    for &wire in Wire::TRANSPORTS {
        let config = wire.config(&closed_port()).max_age(MAX_AGE);
        let sink = only(Signal::Logs, config);
        calls(sink.clone(), 20);
        let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
        let (failed, pending) = (
            undelivered.failed(Signal::Logs),
            undelivered.pending(Signal::Logs),
        );
        assert_eq!((failed, pending), (40, 0), "{wire:?} {undelivered}");
        let problem = undelivered.problem(Signal::Logs).unwrap_or_default();
        assert!(problem.contains("refused"), "{wire:?} {undelivered}");
        assert!(problem.contains("gave up after 1s"), "{undelivered}");
    }
}

#[test]
fn a_batch_of_a_signal_with_an_export_timeout_fails_at_that_time() {
    let mut limits = Limits::default();
    limits.logs.export_timeout = Some(MAX_AGE);
    for &wire in Wire::TRANSPORTS {
        let config = wire.config(&closed_port()).limits(limits);
        let sink = only(Signal::Logs, config);
        calls(sink.clone(), 1);
        let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
        assert_eq!(
            undelivered.failed(Signal::Logs),
            2,
            "{wire:?} {undelivered}"
        );
        let problem = undelivered.problem(Signal::Logs).unwrap_or_default();
        assert!(problem.contains("gave up after 1s"), "{undelivered}");
    }
}

#[test]
fn the_next_batches_get_their_turn_when_one_is_never_answered() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        // Takes the data, and answers later than the client waits.
        receiver.respond_next(2, MockResponse::Hang);
        let config = wire
            .config(&receiver.endpoint())
            .batch_size(1)
            .timeout(Duration::from_secs(1))
            .max_age(MAX_AGE);
        let sink = only(Signal::Traces, config);
        calls(sink.clone(), 40);
        let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
        let failed = undelivered.failed(Signal::Traces);
        assert!((1..=2).contains(&failed), "{wire:?} {undelivered}");
        assert_eq!(undelivered.pending(Signal::Traces), 0, "{undelivered}");
        let exported = usize::try_from(sink.stats().traces.exported).unwrap();
        assert_eq!(receiver.spans().len(), exported, "{wire:?}");
    }
}
