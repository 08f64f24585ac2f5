//! The delays between retries.

use std::time::Duration;

use codex_telemetry::otlp::Signal;

use crate::{
    receiver::{MockResponse, Receiver},
    rig::{PATIENCE, Wire, calls, only},
};

/// Returns the times between the requests.
fn delays(receiver: &Receiver) -> Vec<Duration> {
    let requests = receiver.requests();
    let pairs = requests.windows(2);
    pairs
        .map(|pair| pair[1].received_at - pair[0].received_at)
        .collect()
}

#[test]
fn a_retry_respects_retry_after_even_during_a_flush() {
    let retry_after = Duration::from_secs(1);
    for status in [429, 503] {
        let receiver = Receiver::http();
        receiver.respond_next(1, MockResponse::StatusWithRetryAfter(status, retry_after));
        let sink = only(Signal::Traces, Wire::Http.config(&receiver.endpoint()));
        calls(sink.clone(), 1);
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{status}");
        let delays = delays(&receiver);
        assert_eq!(delays.len(), 1, "{status}");
        assert!(delays[0] >= retry_after, "{status}: {delays:?}");
        assert_eq!(receiver.spans().len(), 1);
    }
}

#[test]
fn a_retry_of_metrics_respects_retry_after() {
    let retry_after = Duration::from_secs(1);
    let receiver = Receiver::http();
    receiver.respond_next(1, MockResponse::StatusWithRetryAfter(503, retry_after));
    let sink = only(Signal::Metrics, Wire::Http.config(&receiver.endpoint()));
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_flush(PATIENCE), Ok(()));
    let delays = delays(&receiver);
    assert!(delays[0] >= retry_after, "{delays:?}");
    assert_eq!(sink.stats().metrics.exported, 2);
}

#[test]
fn a_retry_after_of_zero_gets_the_usual_delay() {
    let receiver = Receiver::http();
    receiver.respond_next(
        3,
        MockResponse::StatusWithRetryAfter(503, Duration::from_secs(0)),
    );
    let sink = only(Signal::Traces, Wire::Http.eager(&receiver.endpoint()));
    calls(sink.clone(), 1);
    receiver.wait_for_spans(1);
    for delay in delays(&receiver) {
        assert!(delay >= Duration::from_millis(50), "{delay:?}");
    }
}

#[test]
fn delays_between_retries_double() {
    let receiver = Receiver::http();
    receiver.respond_next(4, MockResponse::Status(503));
    let sink = only(Signal::Traces, Wire::Http.eager(&receiver.endpoint()));
    calls(sink.clone(), 1);
    receiver.wait_for_spans(1);
    // 100 ms, doubled each time, plus or minus 20 %.
    for (delay, least) in delays(&receiver).into_iter().zip([80, 160, 320, 640]) {
        assert!(delay >= Duration::from_millis(least), "{delay:?}");
    }
}

#[test]
fn a_flush_retries_soon_after_long_delays() {
    let receiver = Receiver::http();
    receiver.respond_with(MockResponse::Status(503));
    let sink = only(Signal::Traces, Wire::Http.eager(&receiver.endpoint()));
    calls(sink.clone(), 1);
    // The delay is 3.2 seconds now, and the next two would be 6.4 and 12.8.
    receiver.wait_for_requests(6);
    receiver.respond_next(3, MockResponse::Status(503));
    receiver.respond_with(MockResponse::Accept);
    // Three failures and a success: 22 seconds without the flush.
    assert_eq!(sink.blocking_flush(Duration::from_secs(8)), Ok(()));
    assert_eq!(receiver.requests().len(), 10);
}

#[test]
fn a_broken_connection_is_retried_without_loss_or_duplicates() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.respond_next(2, MockResponse::CloseMidway);
        let sink = only(Signal::Traces, wire.config(&receiver.endpoint()));
        calls(sink.clone(), 5);
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{wire:?}");
        assert_eq!(receiver.spans().len(), 5, "{wire:?}");
        let traces = sink.stats().traces;
        assert_eq!((traces.exported, traces.failed), (5, 0), "{wire:?}");
    }
}

#[test]
fn the_next_export_of_metrics_includes_those_of_a_failed_one() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.respond_next(1, MockResponse::Status(400));
        let sink = only(Signal::Metrics, wire.config(&receiver.endpoint()));
        calls(sink.clone(), 3);
        let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
        assert_eq!(
            undelivered.failed(Signal::Metrics),
            6,
            "{wire:?} {undelivered}"
        );
        calls(sink.clone(), 2);
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{wire:?}");
        let durations = receiver.metric("gen_ai.execute_tool.duration").unwrap();
        let histogram = durations.points[0].as_histogram();
        let count = histogram.map(|histogram| histogram.count);
        assert_eq!(count, Some(5), "{wire:?} {durations:?}");
    }
}

#[cfg(feature = "grpc")]
#[test]
fn a_retry_over_grpc_respects_retry_info() {
    let retry_after = Duration::from_secs(1);
    // 429 is retryable only with a `RetryInfo`.
    for status in [429, 503] {
        let receiver = Receiver::grpc();
        receiver.respond_next(1, MockResponse::StatusWithRetryAfter(status, retry_after));
        let sink = only(Signal::Traces, Wire::Grpc.config(&receiver.endpoint()));
        calls(sink.clone(), 1);
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{status}");
        let delays = delays(&receiver);
        assert!(delays[0] >= retry_after, "{status}: {delays:?}");
    }
}
