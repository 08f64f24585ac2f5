//! Partial success: some records are rejected, the others are accepted.

use codex_telemetry::otlp::Signal;

use crate::{
    receiver::MockResponse,
    rig::{PATIENCE, Wire, calls, only},
};

fn partial(rejected: i64, message: &str) -> MockResponse {
    let message = message.to_owned();
    MockResponse::PartialSuccess { rejected, message }
}

#[test]
fn rejected_records_of_a_partial_success_fail_and_the_others_are_exported() {
    for &wire in Wire::ALL {
        let receiver = wire.receiver();
        receiver.respond_next(1, partial(3, "the quota is used up"));
        let endpoint = receiver.endpoint();
        let sink = only(Signal::Traces, wire.config(&endpoint));
        calls(sink.clone(), 10);
        let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
        assert_eq!(
            undelivered.failed(Signal::Traces),
            3,
            "{wire:?} {undelivered}"
        );
        assert_eq!(
            undelivered.pending(Signal::Traces),
            0,
            "{wire:?} {undelivered}"
        );
        let problem = undelivered.problem(Signal::Traces).unwrap_or_default();
        assert!(
            problem.contains("the quota is used up"),
            "{wire:?} {undelivered}"
        );
        assert!(problem.contains(&endpoint), "{wire:?} {undelivered}");
        let traces = sink.stats().traces;
        assert_eq!((traces.accepted, traces.exported), (10, 7), "{wire:?}");
        assert_eq!((traces.failed, traces.pending), (3, 0), "{wire:?}");
        assert_eq!(receiver.spans().len(), 7, "{wire:?}");
        assert_eq!(receiver.requests().len(), 1, "it is not retried");
    }
}

#[test]
fn rejected_log_records_fail() {
    for &wire in Wire::ALL {
        let receiver = wire.receiver();
        receiver.respond_next(1, partial(1, "too long"));
        let sink = only(Signal::Logs, wire.config(&receiver.endpoint()));
        calls(sink.clone(), 2);
        let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
        assert_eq!(
            undelivered.failed(Signal::Logs),
            1,
            "{wire:?} {undelivered}"
        );
        assert_eq!(sink.stats().logs.exported, 3, "{wire:?}");
    }
}

#[cfg(feature = "grpc")]
#[test]
fn a_compressed_partial_success_is_understood() {
    let receiver = Wire::Grpc.receiver();
    receiver.respond_next(1, partial(1, "too long"));
    let config = Wire::Grpc.config(&receiver.endpoint());
    let sink = only(Signal::Logs, config.gzip(true));
    calls(sink.clone(), 2);
    let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
    assert_eq!(undelivered.failed(Signal::Logs), 1, "{undelivered}");
    assert_eq!(sink.stats().logs.exported, 3);
    let problem = sink.problem(Signal::Logs).expect("a problem");
    assert!(problem.contains("too long"), "{problem}");
}

#[test]
fn a_partial_success_without_rejected_records_is_a_problem_and_fails_nothing() {
    for &wire in Wire::ALL {
        let receiver = wire.receiver();
        receiver.respond_next(1, partial(0, "this endpoint moves next week"));
        let sink = only(Signal::Traces, wire.config(&receiver.endpoint()));
        calls(sink.clone(), 2);
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{wire:?}");
        assert_eq!(sink.stats().traces.exported, 2, "{wire:?}");
        let problem = sink.problem(Signal::Traces).unwrap_or_default();
        assert!(problem.contains("moves next week"), "{wire:?} {problem}");
    }
}

#[test]
fn an_impossible_rejected_count_is_limited_to_the_batch() {
    for (rejected, failed) in [(1_000_000, 2), (-5, 0)] {
        for &wire in Wire::ALL {
            let receiver = wire.receiver();
            receiver.respond_next(1, partial(rejected, "nonsense"));
            let sink = only(Signal::Traces, wire.config(&receiver.endpoint()));
            calls(sink.clone(), 2);
            let _ = sink.blocking_flush(PATIENCE);
            let traces = sink.stats().traces;
            assert_eq!(traces.failed, failed, "{wire:?} {rejected}");
            assert_eq!(traces.exported, 2 - failed, "{wire:?} {rejected}");
        }
    }
}

#[test]
fn measurements_whose_data_points_were_rejected_are_not_exported() {
    for &wire in Wire::ALL {
        let receiver = wire.receiver();
        receiver.respond_with(partial(2, "too many series"));
        let sink = only(Signal::Metrics, wire.config(&receiver.endpoint()));
        calls(sink.clone(), 2);
        // It is not known which measurements are in the rejected data points.
        let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
        assert_eq!(undelivered.failed(Signal::Metrics), 4, "{undelivered}");
        let metrics = sink.stats().metrics;
        assert_eq!((metrics.exported, metrics.failed), (0, 4), "{wire:?}");
        let problem = sink.problem(Signal::Metrics).unwrap_or_default();
        assert!(problem.contains("too many series"), "{wire:?} {problem}");
        assert!(problem.contains("2 data points"), "{wire:?} {problem}");
    }
}
