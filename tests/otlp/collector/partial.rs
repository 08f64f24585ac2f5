//! Partial success counts as what it is.

use codex_telemetry::otlp::Signal;

use crate::{
    receiver::Behaviour,
    rig::{PATIENCE, Wire, calls, only},
};

fn partial(rejected: i64, message: &str) -> Behaviour {
    let message = message.to_owned();
    Behaviour::PartialSuccess { rejected, message }
}

#[test]
fn what_a_partial_success_rejects_has_failed_and_the_rest_is_exported() {
    for &wire in Wire::ALL {
        let receiver = wire.receiver();
        receiver.behave_next(1, partial(3, "the quota is used up"));
        let endpoint = receiver.endpoint();
        let sink = only(Signal::Traces, wire.config(&endpoint));
        calls(sink.clone(), 10);
        let told = sink.flush(PATIENCE).unwrap_err();
        assert_eq!(told.failed(Signal::Traces), 3, "{wire:?} {told}");
        assert_eq!(told.pending(Signal::Traces), 0, "{wire:?} {told}");
        let problem = told.problem(Signal::Traces).unwrap_or_default();
        assert!(problem.contains("the quota is used up"), "{wire:?} {told}");
        assert!(problem.contains(&endpoint), "{wire:?} {told}");
        let traces = sink.stats().traces;
        assert_eq!((traces.accepted, traces.exported), (10, 7), "{wire:?}");
        assert_eq!((traces.failed, traces.pending()), (3, 0), "{wire:?}");
        assert_eq!(receiver.spans().len(), 7, "{wire:?}");
        assert_eq!(receiver.requests().len(), 1, "it is not tried again");
    }
}

#[test]
fn log_records_that_are_rejected_have_failed_too() {
    for &wire in Wire::ALL {
        let receiver = wire.receiver();
        receiver.behave_next(1, partial(1, "too long"));
        let sink = only(Signal::Logs, wire.config(&receiver.endpoint()));
        calls(sink.clone(), 2);
        let told = sink.flush(PATIENCE).unwrap_err();
        assert_eq!(told.failed(Signal::Logs), 1, "{wire:?} {told}");
        assert_eq!(sink.stats().logs.exported, 3, "{wire:?}");
    }
}

#[test]
fn a_warning_that_rejects_nothing_is_told_and_fails_nothing() {
    for &wire in Wire::ALL {
        let receiver = wire.receiver();
        receiver.behave_next(1, partial(0, "this endpoint moves next week"));
        let sink = only(Signal::Traces, wire.config(&receiver.endpoint()));
        calls(sink.clone(), 2);
        assert_eq!(sink.flush(PATIENCE), Ok(()), "{wire:?}");
        assert_eq!(sink.stats().traces.exported, 2, "{wire:?}");
        let problem = sink.problem(Signal::Traces).unwrap_or_default();
        assert!(problem.contains("moves next week"), "{wire:?} {problem}");
    }
}

#[test]
fn a_count_that_cannot_be_is_bounded_by_what_was_sent() {
    for (rejected, failed) in [(1_000_000, 2), (-5, 0)] {
        for &wire in Wire::ALL {
            let receiver = wire.receiver();
            receiver.behave_next(1, partial(rejected, "nonsense"));
            let sink = only(Signal::Traces, wire.config(&receiver.endpoint()));
            calls(sink.clone(), 2);
            let _ = sink.flush(PATIENCE);
            let traces = sink.stats().traces;
            assert_eq!(traces.failed, failed, "{wire:?} {rejected}");
            assert_eq!(traces.exported, 2 - failed, "{wire:?} {rejected}");
        }
    }
}

#[test]
fn data_points_that_are_rejected_are_told() {
    for &wire in Wire::ALL {
        let receiver = wire.receiver();
        receiver.behave(partial(2, "too many series"));
        let sink = only(Signal::Metrics, wire.config(&receiver.endpoint()));
        calls(sink.clone(), 2);
        // Points are not records: the books cannot say which records they were.
        let _ = sink.flush(PATIENCE);
        let problem = sink.problem(Signal::Metrics).unwrap_or_default();
        assert!(problem.contains("too many series"), "{wire:?} {problem}");
        assert!(problem.contains("2 data points"), "{wire:?} {problem}");
    }
}
