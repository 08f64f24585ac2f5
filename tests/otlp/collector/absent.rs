//! A collector that is not there: refuses, comes up late, goes away and returns.

use std::time::Duration;

use codex_telemetry::{OtlpSink, otlp::Signal};

use crate::{
    receiver::{Receiver, closed_port},
    rig::{PATIENCE, Wire, all_arrived, calls, only},
};

const SOON: Duration = Duration::from_millis(300);

fn start(wire: Wire, receiver: &Receiver) -> OtlpSink {
    OtlpSink::start(wire.config(&receiver.endpoint()).build().unwrap())
}

#[test]
fn a_closed_port_is_named_with_all_that_waits_for_it() {
    for &wire in Wire::TRANSPORTS {
        let endpoint = closed_port();
        let sink = OtlpSink::start(wire.config(&endpoint).build().unwrap());
        calls(sink.clone(), 10);
        let told = sink.flush(SOON).unwrap_err();
        for (signal, pending) in [
            (Signal::Traces, 10),
            (Signal::Metrics, 20),
            (Signal::Logs, 20),
        ] {
            assert_eq!(told.pending(signal), pending, "{wire:?} {told}");
            assert_eq!(told.failed(signal), 0, "{wire:?} {told}");
            let problem = told.problem(signal).unwrap_or_default();
            assert!(problem.contains(&endpoint), "{wire:?} {told}");
            let why = problem.to_ascii_lowercase();
            assert!(why.contains("connection refused"), "{wire:?} {told}");
            assert_eq!(sink.stats().of(signal).pending(), pending);
        }
        let told = sink.shutdown(SOON).unwrap_err();
        assert_eq!(told.pending(Signal::Logs), 20, "{wire:?} {told}");
        // What nobody will export any more has failed.
        let logs = sink.stats().logs;
        assert_eq!((logs.failed, logs.pending()), (20, 0), "{wire:?}");
    }
}

#[test]
fn a_collector_that_comes_up_late_gets_what_was_before() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.stop();
        let sink = start(wire, &receiver);
        calls(sink.clone(), 20);
        sink.flush(SOON).unwrap_err();
        receiver.restart();
        // Nobody waits: it is found by itself.
        receiver.wait_for_spans(20);
        receiver.wait_for_logs(40);
        assert_eq!(sink.flush(PATIENCE), Ok(()), "{wire:?}");
        all_arrived(&sink, 20);
        let spans = receiver.spans();
        assert_eq!(spans.len(), 20, "{wire:?}: nothing is sent twice");
    }
}

#[test]
fn a_collector_that_goes_away_and_returns_gets_everything_once() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        let sink = start(wire, &receiver);
        for round in 1..=3 {
            calls(sink.clone(), 5);
            assert_eq!(sink.flush(PATIENCE), Ok(()), "{wire:?} {round}");
            receiver.stop();
            calls(sink.clone(), 5);
            sink.flush(SOON).unwrap_err();
            receiver.restart();
        }
        assert_eq!(sink.shutdown(PATIENCE), Ok(()), "{wire:?}");
        all_arrived(&sink, 30);
        let mut ids: Vec<_> = receiver.spans().into_iter().map(|s| s.span_id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), receiver.spans().len()), (30, 30), "{wire:?}");
    }
}

#[test]
fn a_flush_that_waits_is_answered_as_soon_as_the_collector_is_back() {
    let receiver = Receiver::http();
    receiver.stop();
    let sink = start(Wire::Http, &receiver);
    calls(sink.clone(), 1);
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| sink.flush(PATIENCE));
        while sink.problem(Signal::Traces).is_none() {
            std::thread::yield_now();
        }
        receiver.restart();
        assert_eq!(flush.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_host_that_does_not_exist_is_told_as_one() {
    for &wire in Wire::TRANSPORTS {
        let endpoint = "http://no-such-host.invalid:4318";
        let sink = only(Signal::Traces, wire.config(endpoint));
        calls(sink.clone(), 1);
        let told = sink.shutdown(Duration::from_secs(3)).unwrap_err();
        assert_eq!(told.pending(Signal::Traces), 1, "{told}");
        let problem = told.problem(Signal::Traces).unwrap_or_default();
        assert!(problem.contains("no-such-host.invalid"), "{wire:?} {told}");
    }
}
