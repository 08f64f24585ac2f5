//! What a flush says.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use codex_telemetry::{OtlpSink, otlp::Signal};

use crate::{
    receiver::{Behaviour, closed_port},
    rig::{Counting, Gate, Gated, PATIENCE, Wire, all_arrived, calls, spans_only},
};

#[test]
fn a_flush_with_nothing_to_do_is_ok_whatever_the_collector_does() {
    for endpoint in [Wire::Http.receiver().endpoint(), closed_port()] {
        let sink = OtlpSink::start(Wire::Http.config(&endpoint).build().unwrap());
        assert_eq!(sink.flush(Duration::ZERO).err(), None);
        let asked = Instant::now();
        assert_eq!(sink.flush(Duration::from_secs(3600)), Ok(()));
        assert_eq!(sink.shutdown(Duration::from_secs(3600)), Ok(()));
        assert!(asked.elapsed() < PATIENCE);
    }
}

#[test]
fn any_duration_is_a_deadline() {
    let receiver = Wire::Http.receiver();
    let sink = OtlpSink::start(Wire::Http.config(&receiver.endpoint()).build().unwrap());
    calls(sink.clone(), 1);
    assert_eq!(sink.flush(Duration::MAX), Ok(()));
    calls(sink.clone(), 1);
    assert_eq!(sink.shutdown(Duration::MAX), Ok(()));
    all_arrived(&sink, 2);
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
                    assert_eq!(sink.flush(PATIENCE), Ok(()));
                }
            });
        }
    });
    all_arrived(&sink, 8 * 20 * 5);
    assert_eq!(receiver.spans().len(), 800);
}

#[test]
fn a_flush_answers_for_what_was_before_it_and_not_for_what_comes_meanwhile() {
    let receiver = Wire::Http.receiver();
    let sink = OtlpSink::start(Wire::Http.config(&receiver.endpoint()).build().unwrap());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                // At its own pace, not faster than anybody could export it.
                if sink.stats().logs.pending() < 1000 {
                    calls(sink.clone(), 1);
                }
            }
        });
        for _ in 0..20 {
            let before = sink.stats().traces.accepted;
            let told = sink.flush(PATIENCE);
            let after = sink.stats().traces;
            stop.store(told.is_err(), Relaxed);
            assert_eq!(told, Ok(()));
            assert!(after.exported >= before, "{before} {after:?}");
        }
        stop.store(true, Relaxed);
    });
    assert_eq!(sink.shutdown(PATIENCE), Ok(()));
}

#[test]
fn a_flush_whose_sink_is_shut_down_meanwhile_says_what_became_of_its_records() {
    let gate = Gate::closed();
    let sink = spans_only(|config| config)
        .span_exporter(Gated::waiting(&gate))
        .start();
    calls(sink.clone(), 4);
    thread::scope(|scope| {
        let flush = scope.spawn(|| sink.flush(PATIENCE));
        gate.wait_for_export();
        let told = sink.shutdown(Duration::from_millis(100)).unwrap_err();
        assert_eq!(told.pending(Signal::Traces), 4, "{told}");
        let told = flush.join().unwrap().unwrap_err();
        let undelivered = told.failed(Signal::Traces) + told.pending(Signal::Traces);
        assert_eq!(undelivered, 4, "{told}");
    });
    assert_eq!(sink.stats().traces.failed, 4);
}

#[test]
fn two_sinks_in_one_process_know_nothing_of_each_other() {
    let (first, second) = (Wire::Http.receiver(), Wire::Http.receiver());
    second.behave(Behaviour::Status(400));
    let start = |endpoint: &str| OtlpSink::start(Wire::Http.config(endpoint).build().unwrap());
    let (one, two) = (start(&first.endpoint()), start(&second.endpoint()));
    calls(
        codex_telemetry::FanOut::new()
            .with(one.clone())
            .with(two.clone()),
        3,
    );
    assert_eq!(one.shutdown(PATIENCE), Ok(()));
    let told = two.flush(PATIENCE).unwrap_err();
    assert_eq!(Signal::ALL.map(|signal| told.failed(signal)), [3, 6, 6]);
    all_arrived(&one, 3);
    assert_eq!(first.spans().len(), 3);
    calls(two.clone(), 1);
    assert_eq!(two.stats().traces.accepted, 4, "it is not shut down");
}

#[test]
fn an_exporter_of_the_application_s_own_that_fails_is_told_by_its_words() {
    #[derive(Debug)]
    struct Failing;
    impl opentelemetry_sdk::trace::SpanExporter for Failing {
        async fn export(
            &self,
            _: Vec<opentelemetry_sdk::trace::SpanData>,
        ) -> opentelemetry_sdk::error::OTelSdkResult {
            let words = "the disk is full".to_owned();
            Err(opentelemetry_sdk::error::OTelSdkError::InternalFailure(
                words,
            ))
        }
    }
    let sink = spans_only(|config| config).span_exporter(Failing).start();
    assert_eq!(sink.endpoint(Signal::Traces), None, "it has none of ours");
    calls(sink.clone(), 2);
    let told = sink.flush(PATIENCE).unwrap_err();
    assert_eq!(told.failed(Signal::Traces), 2);
    let problem = told.problem(Signal::Traces).unwrap_or_default();
    assert!(problem.contains("the disk is full"), "{told}");
    let good = spans_only(|config| config).span_exporter(Counting::default());
    assert_eq!(good.start().shutdown(PATIENCE), Ok(()));
}

#[test]
fn a_shutdown_tells_of_what_failed_earlier_unless_a_flush_has_told() {
    for flushed in [false, true] {
        let receiver = Wire::Http.receiver();
        receiver.behave_next(1, Behaviour::Status(400));
        let config = Wire::Http.eager(&receiver.endpoint());
        let config = config.signals([Signal::Traces]).build().unwrap();
        let sink = OtlpSink::start(config);
        calls(sink.clone(), 5);
        if flushed {
            let told = sink.flush(PATIENCE).unwrap_err();
            assert_eq!(told.failed(Signal::Traces), 5, "{told}");
        } else {
            receiver.wait_for_requests(1);
        }
        let last = sink.shutdown(PATIENCE);
        let failed = last.map_or_else(|told| told.failed(Signal::Traces), |()| 0);
        assert_eq!(failed, if flushed { 0 } else { 5 });
    }
}
