//! A collector that accepts and never answers.

use std::time::{Duration, Instant};

use codex_telemetry::{OtlpSink, otlp::Signal};

use crate::{
    receiver::{Behaviour, blackhole},
    rig::{PATIENCE, Wire, all_arrived, calls, emit, only},
};

/// A deadline, and how late an answer may be on a busy machine.
const DEADLINE: Duration = Duration::from_millis(400);
const SLACK: Duration = Duration::from_secs(5);

/// As good as never.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn calls_go_on_while_no_export_ever_comes_back() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.behave(Behaviour::Hang);
        let config = wire.eager(&receiver.endpoint()).timeout(NEVER);
        let sink = OtlpSink::start(config.queue_capacity(1000).build().unwrap());
        calls(sink.clone(), 1);
        receiver.wait_for_requests(2);
        // None of the requests is ever answered: a call that waited for one would not end.
        calls(sink.clone(), 50_000);
        let stats = sink.stats();
        assert_eq!(stats.logs.accepted + stats.logs.dropped, 100_002);
        assert_eq!(stats.logs.exported, 0, "{wire:?} {stats}");
        // The queue, what waits behind it, and what is under way.
        assert!(stats.logs.pending() <= 3000, "{wire:?} {stats}");
        assert!(stats.traces.pending() <= 3000, "{wire:?} {stats}");
        sink.shutdown(DEADLINE).unwrap_err();
    }
}

#[test]
fn a_flush_and_a_shutdown_keep_their_deadlines_and_say_what_is_under_way() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.behave(Behaviour::Hang);
        let endpoint = receiver.endpoint();
        let config = wire.config(&endpoint).timeout(NEVER);
        let sink = OtlpSink::start(config.build().unwrap());
        calls(sink.clone(), 7);
        for ask in [OtlpSink::flush, OtlpSink::shutdown] {
            let asked = Instant::now();
            let told = ask(&sink, DEADLINE).unwrap_err();
            let took = asked.elapsed();
            assert!(took >= DEADLINE, "{wire:?}: gave up after {took:?}");
            assert!(took < DEADLINE + SLACK, "{wire:?}: {took:?}");
            let pending = Signal::ALL.map(|signal| told.pending(signal));
            assert_eq!(pending, [7, 14, 14], "{wire:?} {told}");
            for signal in Signal::ALL {
                let problem = told.problem(signal).unwrap_or_default();
                assert!(problem.contains(&endpoint), "{wire:?} {signal}: {told}");
            }
        }
        let again = Instant::now();
        assert_eq!(sink.shutdown(NEVER), Ok(()), "there is nothing left to do");
        assert!(again.elapsed() < SLACK);
        let logs = sink.stats().logs;
        assert_eq!((logs.failed, logs.pending()), (14, 0), "{wire:?}");
    }
}

#[test]
fn a_receiver_that_never_reads_is_told_by_its_endpoint_and_the_time_it_had() {
    for &wire in Wire::TRANSPORTS {
        let (_listener, endpoint) = blackhole();
        let config = wire.config(&endpoint).timeout(Duration::from_millis(200));
        let sink = only(Signal::Traces, config);
        calls(sink.clone(), 1);
        let told = sink.shutdown(Duration::from_secs(2)).unwrap_err();
        assert_eq!(told.pending(Signal::Traces), 1, "{wire:?} {told}");
        let problem = told.problem(Signal::Traces).unwrap_or_default();
        assert!(problem.contains(&endpoint), "{wire:?} {told}");
        let why = problem.to_ascii_lowercase();
        assert!(
            why.contains("timed out") || why.contains("timeout") || why.contains("within"),
            "{wire:?} {told}"
        );
    }
}

#[test]
fn a_request_that_got_no_answer_is_sent_again_and_delivered_when_the_receiver_recovers() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.behave_next(3, Behaviour::Hang);
        let config = wire
            .config(&receiver.endpoint())
            .timeout(Duration::from_secs(1));
        let sink = OtlpSink::start(config.build().unwrap());
        calls(sink.clone(), 4);
        assert_eq!(sink.flush(PATIENCE), Ok(()), "{wire:?}");
        all_arrived(&sink, 4);
        assert_eq!(receiver.spans().len(), 4);
    }
}

#[test]
fn a_signal_whose_receiver_hangs_does_not_hold_up_the_others() {
    let (good, bad) = (Wire::Http.receiver(), Wire::Http.receiver());
    bad.behave(Behaviour::Hang);
    let config = Wire::Http
        .eager(&good.endpoint())
        .signal_endpoint(Signal::Traces, &(bad.endpoint() + "/v1/traces"))
        .timeout(NEVER);
    let sink = OtlpSink::start(config.build().unwrap());
    calls(sink.clone(), 3);
    bad.wait_for_requests(1);
    calls(sink.clone(), 3);
    good.wait_for_logs(12);
    let told = sink.flush(DEADLINE).unwrap_err();
    assert_eq!(
        Signal::ALL.map(|signal| told.pending(signal)),
        [6, 0, 0],
        "{told}"
    );
    assert_eq!(sink.stats().metrics.exported, 12);
}

#[test]
fn what_comes_after_a_shutdown_is_dropped_and_counted() {
    let receiver = Wire::Http.receiver();
    let sink = only(Signal::Logs, Wire::Http.config(&receiver.endpoint()));
    emit(&sink, 2);
    assert_eq!(sink.shutdown(PATIENCE), Ok(()));
    emit(&sink, 3);
    let logs = sink.stats().logs;
    assert_eq!((logs.accepted, logs.exported, logs.dropped), (4, 4, 6));
    assert_eq!(sink.flush(PATIENCE), Ok(()), "none of it is under way");
    assert_eq!(receiver.logs().len(), 4);
}

#[test]
fn what_comes_during_a_shutdown_is_dropped_unless_its_answer_speaks_of_it() {
    let receiver = Wire::Http.receiver();
    receiver.behave(Behaviour::Hang);
    let config = Wire::Http.config(&receiver.endpoint()).timeout(NEVER);
    let sink = only(Signal::Logs, config);
    emit(&sink, 2);
    let told = std::thread::scope(|scope| {
        let shutdown = scope.spawn(|| sink.shutdown(Duration::from_secs(1)));
        // A call that began before tells its end when it comes.
        while !shutdown.is_finished() {
            emit(&sink, 1);
        }
        shutdown.join().unwrap().unwrap_err()
    });
    let logs = sink.stats().logs;
    assert_eq!(told.pending(Signal::Logs), logs.accepted, "{told} {logs:?}");
    assert_eq!((logs.failed, logs.pending()), (logs.accepted, 0));
    assert!(logs.dropped > 0, "{logs:?}");
}
