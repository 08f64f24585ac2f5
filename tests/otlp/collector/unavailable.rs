//! A collector that is not reachable, starts late or restarts.

use std::time::Duration;

use codex_telemetry::{OtlpSink, otlp::Signal};

use crate::{
    receiver::{Receiver, closed_port},
    rig::{PATIENCE, Wire, assert_all_exported, calls, only},
};

const SOON: Duration = Duration::from_millis(300);

fn start(wire: Wire, receiver: &Receiver) -> OtlpSink {
    OtlpSink::start(wire.config(&receiver.endpoint()).build().unwrap())
}

#[test]
fn a_closed_port_is_reported_with_the_pending_records() {
    for &wire in Wire::TRANSPORTS {
        let endpoint = closed_port();
        let sink = OtlpSink::start(wire.config(&endpoint).build().unwrap());
        calls(sink.clone(), 10);
        let undelivered = sink.blocking_flush(SOON).unwrap_err();
        for (signal, pending) in [
            (Signal::Traces, 10),
            (Signal::Metrics, 20),
            (Signal::Logs, 20),
        ] {
            assert_eq!(
                undelivered.pending(signal),
                pending,
                "{wire:?} {undelivered}"
            );
            assert_eq!(undelivered.failed(signal), 0, "{wire:?} {undelivered}");
            let problem = undelivered.problem(signal).unwrap_or_default();
            assert!(problem.contains(&endpoint), "{wire:?} {undelivered}");
            let why = problem.to_ascii_lowercase();
            assert!(why.contains("connection refused"), "{wire:?} {undelivered}");
            assert_eq!(sink.stats().of(signal).pending, pending);
        }
        let undelivered = sink.blocking_shutdown(SOON).unwrap_err();
        assert_eq!(
            undelivered.pending(Signal::Logs),
            20,
            "{wire:?} {undelivered}"
        );
        // After the shutdown, pending records are failed.
        let logs = sink.stats().logs;
        assert_eq!((logs.failed, logs.pending), (20, 0), "{wire:?}");
    }
}

#[test]
fn a_collector_that_starts_late_receives_earlier_records() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.stop();
        let sink = start(wire, &receiver);
        calls(sink.clone(), 20);
        sink.blocking_flush(SOON).unwrap_err();
        receiver.restart();
        // Without a flush: the pipelines retry.
        receiver.wait_for_spans(20);
        receiver.wait_for_logs(40);
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{wire:?}");
        assert_all_exported(&sink, 20);
        let spans = receiver.spans();
        assert_eq!(spans.len(), 20, "{wire:?}: nothing is sent twice");
    }
}

#[test]
fn a_collector_that_restarts_receives_each_record_once() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        let sink = start(wire, &receiver);
        for round in 1..=3 {
            calls(sink.clone(), 5);
            assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{wire:?} {round}");
            receiver.stop();
            calls(sink.clone(), 5);
            sink.blocking_flush(SOON).unwrap_err();
            receiver.restart();
        }
        assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()), "{wire:?}");
        assert_all_exported(&sink, 30);
        let mut ids: Vec<_> = receiver.spans().into_iter().map(|s| s.span_id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), receiver.spans().len()), (30, 30), "{wire:?}");
    }
}

#[test]
fn a_waiting_flush_returns_when_the_collector_restarts() {
    let receiver = Receiver::http();
    receiver.stop();
    let sink = start(Wire::Http, &receiver);
    calls(sink.clone(), 1);
    std::thread::scope(|scope| {
        let flush = scope.spawn(|| sink.blocking_flush(PATIENCE));
        while sink.problem(Signal::Traces).is_none() {
            std::thread::yield_now();
        }
        receiver.restart();
        assert_eq!(flush.join().unwrap(), Ok(()));
    });
}

#[test]
fn an_unknown_host_is_reported() {
    for &wire in Wire::TRANSPORTS {
        let endpoint = "http://no-such-host.invalid:4318";
        let sink = only(Signal::Traces, wire.config(endpoint));
        calls(sink.clone(), 1);
        let undelivered = sink.blocking_shutdown(Duration::from_secs(3)).unwrap_err();
        assert_eq!(undelivered.pending(Signal::Traces), 1, "{undelivered}");
        let problem = undelivered.problem(Signal::Traces).unwrap_or_default();
        assert!(
            problem.contains("no-such-host.invalid"),
            "{wire:?} {undelivered}"
        );
    }
}
