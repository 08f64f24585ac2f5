//! Requests that are too large are sent in halves.

use codex_telemetry::{
    Call, Operation, OtlpSink, TimingLayer,
    otlp::{Signal, SignalStats},
};
use futures_util::FutureExt as _;
use tower::{Layer as _, Service as _, service_fn};

use crate::{
    receiver::{MockResponse, Receiver},
    rig::{PATIENCE, Wire, calls, only},
};

const MESSAGE: usize = 64 << 10;

/// Makes a call whose span has a text of this length.
fn call_with_text(sink: &OtlpSink, len: usize) {
    let service = service_fn(async |call: Call<()>| {
        // In several attributes: the text of each is limited.
        for part in 0..len.div_ceil(16 << 10) {
            let rest = (len - part * (16 << 10)).min(16 << 10);
            call.context
                .record(format!("text.{part}"), "x".repeat(rest));
        }
        Ok::<_, ()>(())
    });
    let mut service = TimingLayer::new(sink.clone()).layer(service);
    let done = service.call(Call::new(Operation::Tool, ())).now_or_never();
    assert_eq!(done, Some(Ok(())));
}

#[track_caller]
fn assert_counts(stats: SignalStats, exported: u64, failed: u64) {
    assert_eq!(
        (stats.exported, stats.failed),
        (exported, failed),
        "{stats:?}"
    );
}

#[test]
fn a_batch_that_is_too_large_for_the_receiver_arrives_in_halves() {
    let receiver = Receiver::http();
    receiver.respond_next(2, MockResponse::Status(413));
    let sink = only(Signal::Traces, Wire::Http.config(&receiver.endpoint()));
    calls(sink.clone(), 12);
    assert_eq!(sink.blocking_flush(PATIENCE), Ok(()));
    assert_counts(sink.stats().traces, 12, 0);
    assert_eq!(receiver.spans().len(), 12);
    // Twelve, six, three, three, six.
    assert_eq!(receiver.requests().len(), 5);
}

#[test]
fn a_record_that_is_too_large_for_the_receiver_fails() {
    let receiver = Receiver::http();
    receiver.respond_with(MockResponse::Status(413));
    let sink = only(Signal::Traces, Wire::Http.config(&receiver.endpoint()));
    calls(sink.clone(), 3);
    let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
    assert_eq!(undelivered.failed(Signal::Traces), 3, "{undelivered}");
    let problem = undelivered.problem(Signal::Traces).unwrap_or_default();
    assert!(problem.contains("413"), "{undelivered}");
    // Three, one, two, one, one. None is retried.
    assert_eq!(receiver.requests().len(), 5);
}

#[test]
fn no_request_is_larger_than_the_configured_size() {
    for &wire in Wire::ALL {
        let receiver = wire.receiver();
        let config = wire.config(&receiver.endpoint()).message_bytes(MESSAGE);
        let sink = only(Signal::Traces, config);
        for _ in 0..30 {
            call_with_text(&sink, 10 << 10);
        }
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{wire:?}");
        assert_counts(sink.stats().traces, 30, 0);
        assert_eq!(receiver.spans().len(), 30, "{wire:?}");
        for request in receiver.requests() {
            assert!(
                request.body_bytes <= MESSAGE + 5,
                "{wire:?} {}",
                request.body_bytes
            );
        }
    }
}

#[test]
fn a_record_that_is_larger_than_the_configured_size_fails_alone() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        let config = wire.config(&receiver.endpoint()).message_bytes(MESSAGE);
        let sink = only(Signal::Traces, config);
        calls(sink.clone(), 5);
        call_with_text(&sink, 2 * MESSAGE);
        calls(sink.clone(), 5);
        let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
        assert_eq!(undelivered.failed(Signal::Traces), 1, "{undelivered}");
        assert_counts(sink.stats().traces, 10, 1);
        assert_eq!(receiver.spans().len(), 10, "{wire:?}");
    }
}
