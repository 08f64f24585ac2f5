//! The metrics of the sink itself.

use std::time::Duration;

use codex_telemetry::{Operation, OtlpSink, otlp::Signal};

use super::support::{Calls, Rig};
use crate::{
    receiver::{Attributes, Metric, MetricKind, MockResponse, Point, Receiver, Value, blackhole},
    rig::{PATIENCE, Recorder, Wire},
};

/// Returns the point without an error.
#[track_caller]
fn success(metric: &Metric) -> &Point {
    let mut points = metric.points.iter();
    let success = points.find(|point| point.attribute("error.type").is_none());
    success.unwrap_or_else(|| panic!("{metric:?}"))
}

/// Returns the point with this error.
#[track_caller]
fn failure<'a>(metric: &'a Metric, error: &str) -> &'a Point {
    let point = metric.point(&[("error.type", error.into())]);
    point.unwrap_or_else(|| panic!("no {error} in {metric:?}"))
}

fn component(kind: &str) -> Attributes {
    [
        ("otel.component.type".to_owned(), Value::from(kind)),
        (
            "otel.component.name".to_owned(),
            Value::from(&*format!("{kind}/0")),
        ),
    ]
    .into()
}

/// The labels of an exporter over HTTP to this receiver.
fn exporter(kind: &str, receiver: &Receiver) -> Attributes {
    let mut labels = component(kind);
    let endpoint = receiver.endpoint();
    let port = endpoint.rsplit(':').next().unwrap().parse::<i64>().unwrap();
    labels.insert("server.address".to_owned(), Value::from("127.0.0.1"));
    labels.insert("server.port".to_owned(), Value::from(port));
    labels
}

#[test]
fn the_queue_and_what_was_processed_are_metrics_by_processor() {
    let rig = Rig::with(|config| config.queue_capacity(1000));
    for _ in 0..2 {
        // An export of metrics may begin before those of the other signals end.
        rig.calls.ok(Operation::Tool, "ls", 1);
        rig.flush();
    }
    let receiver = rig.flush();
    for (kind, unit, accepted) in [("span", "{span}", 2), ("log", "{log_record}", 4)] {
        let metric = |name: &str| {
            let metric = receiver.wait_for_metric(&format!("otel.sdk.processor.{kind}.{name}"));
            assert_eq!(metric.unit, unit, "{name}");
            assert_ne!(metric.description, "", "{name}");
            let labels = &success(&metric).attributes;
            let expected = component(&format!("batching_{kind}_processor"));
            assert_eq!(*labels, expected, "{name}");
            metric
        };
        let capacity = metric("queue.capacity");
        assert_eq!(capacity.kind, MetricKind::Sum { monotonic: false });
        assert!(success(&capacity).as_int() >= Some(1000));
        let (size, processed) = (metric("queue.size"), metric("processed"));
        assert_eq!(size.kind, MetricKind::Sum { monotonic: false });
        assert_eq!(processed.kind, MetricKind::Sum { monotonic: true });
        assert_eq!(failure(&processed, "queue_full").as_int(), Some(0));
        let sum = success(&size).as_int().unwrap() + success(&processed).as_int().unwrap();
        assert_eq!(sum, accepted, "{kind}");
    }
}

/// Returns a sink whose first export was rejected, and the next two accepted.
fn after_a_rejection() -> Rig {
    let rig = Rig::new();
    rig.receiver.respond_with(MockResponse::Status(400));
    rig.calls.ok(Operation::Tool, "ls", 1);
    rig.sink.blocking_flush(PATIENCE).unwrap_err();
    rig.receiver.respond_with(MockResponse::Accept);
    for _ in 0..2 {
        rig.calls.ok(Operation::Tool, "ls", 1);
        rig.flush();
    }
    rig
}

#[test]
fn exports_are_metrics_by_exporter_and_error() {
    let rig = after_a_rejection();
    let receiver = &rig.receiver;
    for (kind, name, unit, failed) in [
        ("span", "span", "{span}", Some(1)),
        ("log", "log", "{log_record}", Some(2)),
        ("metric", "metric_data_point", "{data_point}", None),
    ] {
        let labels = exporter(&format!("otlp_http_{kind}_exporter"), receiver);
        let exported = format!("otel.sdk.exporter.{name}.exported");
        let exported = receiver.wait_for_metric(&exported);
        assert_eq!(exported.kind, MetricKind::Sum { monotonic: true });
        assert_eq!(exported.unit, unit);
        assert!(success(&exported).as_int() > Some(0), "{exported:?}");
        assert_eq!(success(&exported).attributes, labels);
        let failures = exported.points.len() - 1;
        assert_eq!(failures, 1, "{exported:?}");
        let failure = exported
            .points
            .iter()
            .find(|point| point.attribute("error.type").is_some());
        let failure = failure.unwrap();
        assert!(
            failure.as_int() > Some(0)
                && failed.is_none_or(|count| failure.as_int() == Some(count))
        );
        let inflight = format!("otel.sdk.exporter.{name}.inflight");
        let inflight = receiver.wait_for_metric(&inflight);
        assert_eq!(inflight.kind, MetricKind::Sum { monotonic: false });
        assert_eq!(inflight.points[0].attributes, labels);
    }
}

#[test]
fn the_duration_of_exports_is_a_histogram_by_exporter_and_error() {
    let rig = after_a_rejection();
    let name = "otel.sdk.exporter.operation.duration";
    let metric = rig.receiver.wait_for_metric(name);
    assert_eq!(metric.unit, "s");
    for kind in ["span", "log", "metric"] {
        let kind = format!("otlp_http_{kind}_exporter");
        let of_kind =
            |point: &&Point| point.attribute("otel.component.type") == Some(&Value::from(&*kind));
        let (failed, succeeded): (Vec<_>, Vec<_>) = metric
            .points
            .iter()
            .filter(of_kind)
            .partition(|point| point.attribute("error.type").is_some());
        assert_eq!((failed.len(), succeeded.len()), (1, 1), "{metric:?}");
        assert_eq!(succeeded[0].attributes, exporter(&kind, &rig.receiver));
        assert_eq!(failed[0].as_histogram().unwrap().count, 1);
        assert!(succeeded[0].as_histogram().unwrap().sum > Some(0.0));
    }
}

#[test]
fn rejected_data_points_do_not_count_as_exported() {
    let receiver = Receiver::http();
    let config = Wire::Http.config(&receiver.endpoint());
    let config = config.signals([Signal::Metrics]).build().unwrap();
    let sink = OtlpSink::start(config);
    let calls = Calls::new(sink.clone());
    let rejection = MockResponse::PartialSuccess {
        rejected: 2,
        message: "out of order".to_owned(),
    };
    receiver.respond_next(1, rejection);
    calls.ok(Operation::Tool, "ls", 1);
    // Whether it is an error is another question.
    let _ = sink.blocking_flush(PATIENCE);
    let accepted: usize = receiver.metrics().iter().map(|m| m.points.len()).sum();
    calls.ok(Operation::Tool, "ls", 1);
    let _ = sink.blocking_flush(PATIENCE);
    let metric = receiver.wait_for_metric("otel.sdk.exporter.metric_data_point.exported");
    assert_eq!(failure(&metric, "rejected").as_int(), Some(2));
    let accepted = i64::try_from(accepted).unwrap();
    assert_eq!(success(&metric).as_int(), Some(accepted));
}

#[test]
fn records_whose_export_hangs_are_in_flight() {
    let receiver = Receiver::http();
    let (_listener, hanging) = blackhole();
    let config = Wire::Http
        .eager(&receiver.endpoint())
        .signal_endpoint(Signal::Traces, &hanging)
        .metric_interval(Duration::from_millis(10));
    let sink = OtlpSink::start(config.build().unwrap());
    Calls::new(sink.clone()).ok(Operation::Tool, "ls", 1);
    receiver.wait_until("a span in flight", PATIENCE, |receiver| {
        let inflight = receiver.metric("otel.sdk.exporter.span.inflight");
        inflight.is_some_and(|metric| metric.points[0].as_int() == Some(1))
    });
    assert!(sink.blocking_shutdown(Duration::ZERO).is_err());
}

#[test]
fn records_stay_in_flight_while_their_export_is_retried() {
    let (receiver, refusing) = (Receiver::http(), Receiver::http());
    refusing.respond_with(MockResponse::Status(503));
    let config = Wire::Http
        .eager(&receiver.endpoint())
        .signal_endpoint(Signal::Traces, &(refusing.endpoint() + "/v1/traces"))
        .metric_interval(Duration::from_millis(10));
    let sink = OtlpSink::start(config.build().unwrap());
    Calls::new(sink.clone()).ok(Operation::Tool, "ls", 1);
    refusing.wait_for_requests(3);
    refusing.respond_with(MockResponse::Accept);
    sink.blocking_shutdown(PATIENCE).unwrap();
    let values = |name: &str| {
        let metrics = receiver.metrics().into_iter();
        let metrics = metrics.filter(|metric| metric.name == name);
        let values = metrics.map(|metric| success(&metric).as_int().unwrap());
        values.collect::<Vec<_>>()
    };
    let processed = values("otel.sdk.processor.span.processed");
    assert!(processed.is_sorted(), "{processed:?}");
    assert_eq!(processed.last(), Some(&1));
    let mut inflight = values("otel.sdk.exporter.span.inflight");
    inflight.dedup();
    assert!(inflight.ends_with(&[1, 0]), "{inflight:?}");
    assert!(inflight.len() <= 3, "{inflight:?}");
}

#[test]
fn a_custom_exporter_has_no_server() {
    let receiver = Receiver::http();
    let config = Wire::Http.config(&receiver.endpoint()).build().unwrap();
    let sink = OtlpSink::builder(config)
        .span_exporter(Recorder::default())
        .start();
    Calls::new(sink.clone()).ok(Operation::Tool, "ls", 1);
    sink.blocking_shutdown(PATIENCE).unwrap();
    let metric = receiver.wait_for_metric("otel.sdk.exporter.span.exported");
    let labels = &success(&metric).attributes;
    assert_eq!(*labels, component("custom_span_exporter"));
}

#[test]
fn a_disabled_signal_has_no_metrics_of_its_own() {
    let rig = Rig::with(|config| config.signals([Signal::Metrics, Signal::Logs]));
    rig.calls.ok(Operation::Tool, "ls", 1);
    let receiver = rig.flush();
    receiver.wait_for_metric("otel.sdk.exporter.log.exported");
    assert_eq!(receiver.metric("otel.sdk.exporter.span.exported"), None);
    assert_eq!(receiver.metric("otel.sdk.processor.span.processed"), None);
}

#[test]
fn the_sink_has_no_second_set_of_names() {
    let rig = Rig::new();
    rig.calls.ok(Operation::Tool, "ls", 1);
    for metric in rig.flush().metrics() {
        assert!(!metric.name.starts_with("codex.telemetry."), "{metric:?}");
    }
}
