//! When a retry comes.

use std::time::Duration;

use codex_telemetry::otlp::Signal;

use crate::{
    receiver::{Behaviour, Receiver},
    rig::{PATIENCE, Wire, calls, only},
};

/// How long it was between one request and the next.
fn pauses(receiver: &Receiver) -> Vec<Duration> {
    let requests = receiver.requests();
    let pairs = requests.windows(2);
    pairs
        .map(|pair| pair[1].received_at - pair[0].received_at)
        .collect()
}

#[test]
fn a_retry_comes_no_sooner_than_the_receiver_asked_for_even_when_somebody_waits() {
    let asked = Duration::from_secs(1);
    for status in [429, 503] {
        let receiver = Receiver::http();
        receiver.behave_next(1, Behaviour::StatusWithRetryAfter(status, asked));
        let sink = only(Signal::Traces, Wire::Http.config(&receiver.endpoint()));
        calls(sink.clone(), 1);
        assert_eq!(sink.flush(PATIENCE), Ok(()), "{status}");
        let pauses = pauses(&receiver);
        assert_eq!(pauses.len(), 1, "{status}");
        assert!(pauses[0] >= asked, "{status}: {pauses:?}");
        assert_eq!(receiver.spans().len(), 1);
    }
}

#[test]
fn metrics_come_no_sooner_than_the_receiver_asked_for_either() {
    let asked = Duration::from_secs(1);
    let receiver = Receiver::http();
    receiver.behave_next(1, Behaviour::StatusWithRetryAfter(503, asked));
    let sink = only(Signal::Metrics, Wire::Http.config(&receiver.endpoint()));
    calls(sink.clone(), 1);
    assert_eq!(sink.flush(PATIENCE), Ok(()));
    let pauses = pauses(&receiver);
    assert!(pauses[0] >= asked, "{pauses:?}");
    assert_eq!(sink.stats().metrics.exported, 2);
}

#[test]
fn a_receiver_that_asks_for_no_pause_is_not_hammered() {
    let receiver = Receiver::http();
    receiver.behave_next(
        3,
        Behaviour::StatusWithRetryAfter(503, Duration::from_secs(0)),
    );
    let sink = only(Signal::Traces, Wire::Http.eager(&receiver.endpoint()));
    calls(sink.clone(), 1);
    receiver.wait_for_spans(1);
    for pause in pauses(&receiver) {
        assert!(pause >= Duration::from_millis(50), "{pause:?}");
    }
}

#[test]
fn pauses_grow_while_nobody_waits() {
    let receiver = Receiver::http();
    receiver.behave_next(4, Behaviour::Status(503));
    let sink = only(Signal::Traces, Wire::Http.eager(&receiver.endpoint()));
    calls(sink.clone(), 1);
    receiver.wait_for_spans(1);
    // 100 ms and its doubles, each give or take a fifth.
    for (pause, least) in pauses(&receiver).into_iter().zip([80, 160, 320, 640]) {
        assert!(pause >= Duration::from_millis(least), "{pause:?}");
    }
}

#[test]
fn a_flush_asks_again_soon_however_long_the_pauses_had_become() {
    let receiver = Receiver::http();
    receiver.behave(Behaviour::Status(503));
    let sink = only(Signal::Traces, Wire::Http.eager(&receiver.endpoint()));
    calls(sink.clone(), 1);
    // The pause is 3.2 seconds by now, and the next two would be 6.4 and 12.8.
    receiver.wait_for_requests(6);
    receiver.behave_next(3, Behaviour::Status(503));
    receiver.behave(Behaviour::Accept);
    // Those three and one that is taken: 22 seconds at the pace so far.
    assert_eq!(sink.flush(Duration::from_secs(8)), Ok(()));
    assert_eq!(receiver.requests().len(), 10);
}

#[test]
fn a_connection_that_is_cut_midway_is_tried_again_and_nothing_is_lost_or_doubled() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.behave_next(2, Behaviour::CloseMidway);
        let sink = only(Signal::Traces, wire.config(&receiver.endpoint()));
        calls(sink.clone(), 5);
        assert_eq!(sink.flush(PATIENCE), Ok(()), "{wire:?}");
        assert_eq!(receiver.spans().len(), 5, "{wire:?}");
        let traces = sink.stats().traces;
        assert_eq!((traces.exported, traces.failed), (5, 0), "{wire:?}");
    }
}

#[test]
fn a_failed_export_of_metrics_is_made_good_by_the_totals_of_the_next() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.behave_next(1, Behaviour::Status(400));
        let sink = only(Signal::Metrics, wire.config(&receiver.endpoint()));
        calls(sink.clone(), 3);
        let told = sink.flush(PATIENCE).unwrap_err();
        assert_eq!(told.failed(Signal::Metrics), 6, "{wire:?} {told}");
        calls(sink.clone(), 2);
        assert_eq!(sink.flush(PATIENCE), Ok(()), "{wire:?}");
        let durations = receiver.metric("gen_ai.execute_tool.duration").unwrap();
        let histogram = durations.points[0].as_histogram();
        let count = histogram.map(|histogram| histogram.count);
        assert_eq!(count, Some(5), "{wire:?} {durations:?}");
    }
}

#[cfg(feature = "grpc")]
#[test]
fn over_grpc_a_retry_comes_no_sooner_than_the_receiver_asked_for() {
    let asked = Duration::from_secs(1);
    // Of these two, the first may be tried again only because there is a RetryInfo.
    for status in [429, 503] {
        let receiver = Receiver::grpc();
        receiver.behave_next(1, Behaviour::StatusWithRetryAfter(status, asked));
        let sink = only(Signal::Traces, Wire::Grpc.config(&receiver.endpoint()));
        calls(sink.clone(), 1);
        assert_eq!(sink.flush(PATIENCE), Ok(()), "{status}");
        let pauses = pauses(&receiver);
        assert!(pauses[0] >= asked, "{status}: {pauses:?}");
    }
}
