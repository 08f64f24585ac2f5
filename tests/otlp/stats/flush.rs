//! The result of a flush.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use codex_telemetry::{OtlpSink, otlp::Signal};

use crate::{
    receiver::{MockResponse, Receiver, closed_port},
    rig::{Gate, Gated, PATIENCE, Recorder, Wire, assert_all_exported, calls, spans_only},
};

#[test]
fn a_flush_without_records_succeeds_without_a_collector() {
    for endpoint in [Wire::Http.receiver().endpoint(), closed_port()] {
        let sink = OtlpSink::start(Wire::Http.config(&endpoint).build().unwrap());
        assert_eq!(sink.blocking_flush(Duration::ZERO).err(), None);
        let start = Instant::now();
        assert_eq!(sink.blocking_flush(Duration::from_secs(3600)), Ok(()));
        assert_eq!(sink.blocking_shutdown(Duration::from_secs(3600)), Ok(()));
        assert!(start.elapsed() < PATIENCE);
    }
}

#[test]
fn any_duration_is_a_deadline() {
    let receiver = Wire::Http.receiver();
    let sink = OtlpSink::start(Wire::Http.config(&receiver.endpoint()).build().unwrap());
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_flush(Duration::MAX), Ok(()));
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_shutdown(Duration::MAX), Ok(()));
    assert_all_exported(&sink, 2);
}

#[test]
fn many_threads_may_flush_at_once() {
    let receiver = Wire::Http.receiver();
    let sink = OtlpSink::start(Wire::Http.config(&receiver.endpoint()).build().unwrap());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    calls(sink.clone(), 5);
                    assert_eq!(sink.blocking_flush(PATIENCE), Ok(()));
                }
            });
        }
    });
    assert_all_exported(&sink, 8 * 20 * 5);
    assert_eq!(receiver.spans().len(), 800);
}

#[test]
fn a_flush_waits_for_earlier_records_and_not_for_later_ones() {
    let receiver = Wire::Http.receiver();
    let sink = OtlpSink::start(Wire::Http.config(&receiver.endpoint()).build().unwrap());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                // Not faster than the export.
                if sink.stats().logs.pending < 1000 {
                    calls(sink.clone(), 1);
                }
            }
        });
        for _ in 0..20 {
            let before = sink.stats().traces.accepted;
            let undelivered = sink.blocking_flush(PATIENCE);
            let after = sink.stats().traces;
            stop.store(undelivered.is_err(), Relaxed);
            assert_eq!(undelivered, Ok(()));
            assert!(after.exported >= before, "{before} {after:?}");
        }
        stop.store(true, Relaxed);
    });
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
}

#[test]
fn a_flush_reports_its_records_when_the_sink_is_shut_down_meanwhile() {
    let gate = Gate::closed();
    let sink = spans_only(|config| config)
        .span_exporter(Gated::waiting(&gate))
        .start();
    calls(sink.clone(), 4);
    thread::scope(|scope| {
        let flush = scope.spawn(|| sink.blocking_flush(PATIENCE));
        gate.wait_for_export();
        let undelivered = sink
            .blocking_shutdown(Duration::from_millis(100))
            .unwrap_err();
        assert_eq!(undelivered.pending(Signal::Traces), 4, "{undelivered}");
        let undelivered = flush.join().unwrap().unwrap_err();
        let undelivered = undelivered.failed(Signal::Traces) + undelivered.pending(Signal::Traces);
        assert_eq!(undelivered, 4, "{undelivered}");
    });
    assert_eq!(sink.stats().traces.failed, 4);
}

#[test]
fn two_sinks_in_one_process_are_independent() {
    let (first, second) = (Wire::Http.receiver(), Wire::Http.receiver());
    second.respond_with(MockResponse::Status(400));
    let start = |endpoint: &str| OtlpSink::start(Wire::Http.config(endpoint).build().unwrap());
    let (one, two) = (start(&first.endpoint()), start(&second.endpoint()));
    calls(
        codex_telemetry::FanOut::new()
            .with(one.clone())
            .with(two.clone()),
        3,
    );
    assert_eq!(one.blocking_shutdown(PATIENCE), Ok(()));
    let undelivered = two.blocking_flush(PATIENCE).unwrap_err();
    assert_eq!(
        Signal::ALL.map(|signal| undelivered.failed(signal)),
        [3, 6, 6]
    );
    assert_all_exported(&one, 3);
    assert_eq!(first.spans().len(), 3);
    calls(two.clone(), 1);
    assert_eq!(
        two.stats().traces.accepted,
        4,
        "the other one is not shut down"
    );
}

#[test]
fn the_error_of_a_custom_exporter_is_reported() {
    #[derive(Debug)]
    struct Failing;
    impl opentelemetry_sdk::trace::SpanExporter for Failing {
        async fn export(
            &self,
            _: Vec<opentelemetry_sdk::trace::SpanData>,
        ) -> opentelemetry_sdk::error::OTelSdkResult {
            let message = "the disk is full".to_owned();
            Err(opentelemetry_sdk::error::OTelSdkError::InternalFailure(
                message,
            ))
        }
    }
    let sink = spans_only(|config| config).span_exporter(Failing).start();
    assert_eq!(
        sink.endpoint(Signal::Traces),
        None,
        "the endpoint of the configuration is not used"
    );
    calls(sink.clone(), 2);
    let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
    assert_eq!(undelivered.failed(Signal::Traces), 2);
    let problem = undelivered.problem(Signal::Traces).unwrap_or_default();
    assert!(problem.contains("the disk is full"), "{undelivered}");
    let good = spans_only(|config| config).span_exporter(Recorder::default());
    assert_eq!(good.start().blocking_shutdown(PATIENCE), Ok(()));
}

#[test]
fn a_shutdown_reports_earlier_failures_that_no_flush_reported() {
    for flushed in [false, true] {
        let receiver = Wire::Http.receiver();
        receiver.respond_next(1, MockResponse::Status(400));
        let config = Wire::Http.eager(&receiver.endpoint());
        let config = config.signals([Signal::Traces]).build().unwrap();
        let sink = OtlpSink::start(config);
        calls(sink.clone(), 5);
        if flushed {
            let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
            assert_eq!(undelivered.failed(Signal::Traces), 5, "{undelivered}");
        } else {
            receiver.wait_for_requests(1);
        }
        let last = sink.blocking_shutdown(PATIENCE);
        let failed = last.map_or_else(|undelivered| undelivered.failed(Signal::Traces), |()| 0);
        assert_eq!(failed, if flushed { 0 } else { 5 });
    }
}

#[test]
fn two_flushes_at_once_do_not_hide_later_failures() {
    let receiver = Receiver::http();
    receiver.respond_with(MockResponse::Status(400));
    let config = Wire::Http.config(&receiver.endpoint()).batch_size(10);
    let config = config.signals([Signal::Traces]).queue_capacity(40);
    let sink = OtlpSink::start(config.build().unwrap());
    thread::scope(|scope| {
        let flushes = [(); 8].map(|()| {
            calls(sink.clone(), 1);
            scope.spawn(|| sink.blocking_flush(PATIENCE))
        });
        for flush in flushes {
            // Those that wait for a span at once all report it, and none reports a later one.
            let _ = flush.join().unwrap();
        }
    });
    receiver.wait_for_requests(1);
    let before = sink.stats().traces.failed;
    assert_eq!(before, 8);
    // A full batch goes out by itself, and fails. How many calls fill one depends on when they are taken.
    while sink.stats().traces.failed == before {
        calls(sink.clone(), 1);
        thread::yield_now();
    }
    let undelivered = sink.blocking_shutdown(PATIENCE).unwrap_err();
    let later = sink.stats().traces.accepted - before;
    assert_eq!(undelivered.failed(Signal::Traces), later, "{undelivered}");
}
