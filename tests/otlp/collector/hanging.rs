//! A collector that accepts connections and never responds.

use std::time::{Duration, Instant};

use codex_telemetry::{OtlpSink, otlp::Signal};

use crate::{
    receiver::{MockResponse, blackhole},
    rig::{PATIENCE, Wire, assert_all_exported, calls, emit, only},
};

/// A deadline, and how late a call may return on a busy machine.
const DEADLINE: Duration = Duration::from_millis(400);
const SLACK: Duration = Duration::from_secs(5);

/// A timeout that no test reaches.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn calls_do_not_wait_for_a_hanging_collector() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.respond_with(MockResponse::Hang);
        let config = wire.eager(&receiver.endpoint()).timeout(NEVER);
        let sink = OtlpSink::start(config.queue_capacity(1000).build().unwrap());
        calls(sink.clone(), 1);
        receiver.wait_for_requests(2);
        // No request gets a response: a call that waited for one would not end.
        calls(sink.clone(), 50_000);
        let stats = sink.stats();
        assert_eq!(stats.logs.accepted + stats.logs.dropped, 100_002);
        assert_eq!(stats.logs.exported, 0, "{wire:?} {stats}");
        // The queue, the buffer behind it, and the active batch.
        assert!(stats.logs.pending <= 3000, "{wire:?} {stats}");
        assert!(stats.traces.pending <= 3000, "{wire:?} {stats}");
        sink.blocking_shutdown(DEADLINE).unwrap_err();
    }
}

#[test]
fn a_flush_and_a_shutdown_return_at_their_deadline_with_the_pending_records() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.respond_with(MockResponse::Hang);
        let endpoint = receiver.endpoint();
        let config = wire.config(&endpoint).timeout(NEVER);
        let sink = OtlpSink::start(config.build().unwrap());
        calls(sink.clone(), 7);
        for ask in [OtlpSink::blocking_flush, OtlpSink::blocking_shutdown] {
            let asked = Instant::now();
            let undelivered = ask(&sink, DEADLINE).unwrap_err();
            let took = asked.elapsed();
            assert!(took >= DEADLINE, "{wire:?}: gave up after {took:?}");
            assert!(took < DEADLINE + SLACK, "{wire:?}: {took:?}");
            let pending = Signal::ALL.map(|signal| undelivered.pending(signal));
            assert_eq!(pending, [7, 14, 14], "{wire:?} {undelivered}");
            for signal in Signal::ALL {
                let problem = undelivered.problem(signal).unwrap_or_default();
                assert!(
                    problem.contains(&endpoint),
                    "{wire:?} {signal}: {undelivered}"
                );
            }
        }
        let again = Instant::now();
        let undelivered = sink.blocking_shutdown(NEVER).unwrap_err();
        assert_eq!(undelivered.pending(Signal::Logs), 14, "{undelivered}");
        assert!(again.elapsed() < SLACK);
        let logs = sink.stats().logs;
        assert_eq!((logs.failed, logs.pending), (14, 0), "{wire:?}");
    }
}

#[test]
fn a_receiver_that_never_reads_is_reported_as_a_timeout() {
    for &wire in Wire::TRANSPORTS {
        let (_listener, endpoint) = blackhole();
        let config = wire.config(&endpoint).timeout(Duration::from_millis(200));
        let sink = only(Signal::Traces, config);
        calls(sink.clone(), 1);
        let undelivered = sink.blocking_shutdown(Duration::from_secs(2)).unwrap_err();
        assert_eq!(
            undelivered.pending(Signal::Traces),
            1,
            "{wire:?} {undelivered}"
        );
        let problem = undelivered.problem(Signal::Traces).unwrap_or_default();
        assert!(problem.contains(&endpoint), "{wire:?} {undelivered}");
        let why = problem.to_ascii_lowercase();
        assert!(
            why.contains("timed out") || why.contains("timeout") || why.contains("within"),
            "{wire:?} {undelivered}"
        );
    }
}

#[test]
fn a_request_without_a_response_is_retried_until_the_receiver_recovers() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.respond_next(3, MockResponse::Hang);
        let config = wire
            .config(&receiver.endpoint())
            .timeout(Duration::from_secs(1));
        let sink = OtlpSink::start(config.build().unwrap());
        calls(sink.clone(), 4);
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{wire:?}");
        assert_all_exported(&sink, 4);
        assert_eq!(receiver.spans().len(), 4);
    }
}

#[test]
fn a_response_without_its_body_is_a_timeout_and_is_retried() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.respond_next(1, MockResponse::StopMidway);
        let config = wire.config(&receiver.endpoint());
        let sink = only(Signal::Traces, config.timeout(Duration::from_millis(500)));
        calls(sink.clone(), 2);
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{wire:?}");
        let traces = sink.stats().traces;
        assert_eq!((traces.exported, traces.failed), (2, 0), "{wire:?}");
        assert_eq!(receiver.requests().len(), 2, "{wire:?}");
    }
}

#[test]
fn a_retry_after_no_response_uses_a_new_connection() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.respond_next(1, MockResponse::Hang);
        let config = wire.config(&receiver.endpoint());
        let config = config.timeout(Duration::from_secs(1));
        let sink = only(Signal::Traces, config);
        for _ in 0..2 {
            calls(sink.clone(), 1);
            assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{wire:?}");
        }
        // The process behind the first one may be gone, or stuck.
        assert_eq!(receiver.connections(), 2, "{wire:?}");
    }
}

#[test]
fn a_hanging_receiver_of_one_signal_does_not_delay_the_others() {
    let (good, bad) = (Wire::Http.receiver(), Wire::Http.receiver());
    bad.respond_with(MockResponse::Hang);
    let config = Wire::Http
        .eager(&good.endpoint())
        .signal_endpoint(Signal::Traces, &(bad.endpoint() + "/v1/traces"))
        .timeout(NEVER);
    let sink = OtlpSink::start(config.build().unwrap());
    calls(sink.clone(), 3);
    bad.wait_for_requests(1);
    calls(sink.clone(), 3);
    good.wait_for_logs(12);
    // Metrics get the second half of the time.
    let undelivered = sink.blocking_flush(Duration::from_secs(4)).unwrap_err();
    assert_eq!(
        Signal::ALL.map(|signal| undelivered.pending(signal)),
        [6, 0, 0],
        "{undelivered}"
    );
    assert_eq!(sink.stats().metrics.exported, 12);
}

#[test]
fn events_after_a_shutdown_are_dropped_and_counted() {
    let receiver = Wire::Http.receiver();
    let sink = only(Signal::Logs, Wire::Http.config(&receiver.endpoint()));
    emit(&sink, 2);
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
    emit(&sink, 3);
    let logs = sink.stats().logs;
    assert_eq!((logs.accepted, logs.exported, logs.dropped), (4, 4, 6));
    assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "nothing is pending");
    assert_eq!(receiver.logs().len(), 4);
}

#[test]
fn events_during_a_shutdown_are_reported_or_dropped() {
    let receiver = Wire::Http.receiver();
    receiver.respond_with(MockResponse::Hang);
    let config = Wire::Http.config(&receiver.endpoint()).timeout(NEVER);
    let sink = only(Signal::Logs, config);
    emit(&sink, 2);
    let undelivered = std::thread::scope(|scope| {
        let shutdown = scope.spawn(|| sink.blocking_shutdown(Duration::from_secs(1)));
        // Calls may end during a shutdown.
        while !shutdown.is_finished() {
            emit(&sink, 1);
        }
        shutdown.join().unwrap().unwrap_err()
    });
    let logs = sink.stats().logs;
    assert_eq!(
        undelivered.pending(Signal::Logs),
        logs.accepted,
        "{undelivered} {logs:?}"
    );
    assert_eq!((logs.failed, logs.pending), (logs.accepted, 0));
    assert!(logs.dropped > 0, "{logs:?}");
}
