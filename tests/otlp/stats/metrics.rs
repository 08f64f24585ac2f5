//! The stats are exported as metrics.

use std::time::Duration;

use codex_telemetry::{
    OtlpSink,
    otlp::{Signal, config::Temporality},
};

use crate::{
    receiver::{MockResponse, Receiver},
    rig::{PATIENCE, Wire, calls, emit, only},
};

const SOON: Duration = Duration::from_millis(200);

/// Returns the sum of a metric over all points with an `error.type`, or over those without one.
fn count(receiver: &Receiver, metric: &str, has_error: bool) -> Option<i64> {
    let points = receiver.metric(metric)?.points.into_iter();
    let points = points.filter(|point| point.attribute("error.type").is_some() == has_error);
    Some(points.filter_map(|point| point.as_int()).sum())
}

#[test]
fn the_exported_counters_match_the_stats() {
    let receiver = Receiver::http();
    let refusing = Receiver::http();
    refusing.respond_with(MockResponse::Status(400));
    let config = Wire::Http
        .config(&receiver.endpoint())
        .signal_endpoint(Signal::Logs, &(refusing.endpoint() + "/v1/logs"))
        .queue_capacity(1000);
    let sink = OtlpSink::start(config.build().unwrap());
    calls(sink.clone(), 5);
    let _ = sink.blocking_flush(PATIENCE);
    calls(sink.clone(), 1);
    let _ = sink.blocking_flush(PATIENCE);
    let count = |metric: &str, has_error| count(&receiver, metric, has_error).unwrap_or(-1);
    let spans = "otel.sdk.exporter.span.exported";
    assert!(count(spans, false) >= 5);
    assert_eq!(count(spans, true), 0);
    let logs = "otel.sdk.exporter.log.exported";
    assert_eq!(count(logs, false), 0);
    assert!(count(logs, true) >= 10);
    for kind in ["span", "log"] {
        let processed = format!("otel.sdk.processor.{kind}.processed");
        assert_eq!(count(&processed, true), 0, "nothing was dropped");
        let queue = count(&format!("otel.sdk.processor.{kind}.queue.size"), false);
        let accepted = if kind == "span" { 6 } else { 12 };
        assert_eq!(count(&processed, false) + queue, accepted, "{kind}");
    }
}

#[test]
fn dropped_events_are_exported_as_a_metric() {
    let receiver = Receiver::http();
    let config = Wire::Http.config(&receiver.endpoint()).queue_capacity(2);
    let sink = OtlpSink::start(config.build().unwrap());
    while sink.stats().logs.dropped == 0 {
        emit(&sink, 100);
    }
    let _ = sink.blocking_flush(PATIENCE);
    let metric = receiver.wait_for_metric("otel.sdk.processor.log.processed");
    let point = metric.point(&[("error.type", "queue_full".into())]);
    let logs = sink.stats().logs;
    // In the queue, and in the buffer behind it.
    let dropped = i64::try_from(logs.dropped + logs.failed).unwrap();
    assert_eq!(point.unwrap().as_int(), Some(dropped));
}

#[test]
fn metrics_are_exported_at_their_interval() {
    let receiver = Receiver::http();
    let config = Wire::Http
        .eager(&receiver.endpoint())
        .signals([Signal::Metrics])
        .metric_interval(Duration::from_millis(50));
    let sink = OtlpSink::start(config.build().unwrap());
    calls(sink.clone(), 1);
    receiver.wait_for_metric("gen_ai.execute_tool.duration");
    receiver.wait_for_requests(3);
    assert_eq!(sink.stats().metrics.exported, 2);
}

#[test]
fn the_last_export_of_metrics_has_the_final_counters() {
    let receiver = Receiver::http();
    let sink = OtlpSink::start(Wire::Http.config(&receiver.endpoint()).build().unwrap());
    calls(sink.clone(), 5);
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
    for (kind, exported) in [("span", 5), ("log", 10)] {
        let metric = format!("otel.sdk.exporter.{kind}.exported");
        let found = count(&receiver, &metric, false);
        assert_eq!(found, Some(exported), "{kind}: {}", sink.stats());
    }
}

#[test]
fn the_last_export_of_metrics_has_the_final_counters_after_a_flush_too() {
    for _ in 0..10 {
        let receiver = Receiver::http();
        let sink = OtlpSink::start(Wire::Http.config(&receiver.endpoint()).build().unwrap());
        calls(sink.clone(), 5);
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()));
        assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
        for (kind, exported) in [("span", 5), ("log", 10)] {
            let metric = format!("otel.sdk.exporter.{kind}.exported");
            assert_eq!(count(&receiver, &metric, false), Some(exported), "{kind}");
        }
    }
}

#[test]
fn measurements_that_never_arrived_are_pending_and_fail_with_the_shutdown() {
    for temporality in [Temporality::Cumulative, Temporality::Delta] {
        let receiver = Receiver::http();
        receiver.stop();
        let config = Wire::Http.config(&receiver.endpoint());
        let sink = only(Signal::Metrics, config.temporality(temporality));
        calls(sink.clone(), 3);
        // From here on, a delta is held.
        let undelivered = sink.blocking_flush(SOON).unwrap_err();
        assert_eq!(undelivered.pending(Signal::Metrics), 6, "{undelivered}");
        calls(sink.clone(), 2);
        let undelivered = sink.blocking_shutdown(SOON).unwrap_err();
        assert_eq!(undelivered.pending(Signal::Metrics), 10, "{undelivered}");
        let metrics = sink.stats().metrics;
        assert_eq!((metrics.accepted, metrics.failed), (10, 10), "{metrics:?}");
        assert_eq!((metrics.exported, metrics.pending), (0, 0), "{metrics:?}");
    }
}
