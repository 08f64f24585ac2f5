//! The counters of the sink, which are exported as metrics.

use codex_telemetry::Operation;

use super::support::Rig;
use crate::receiver::{MetricKind, MockResponse};

#[test]
fn the_counters_are_exported_as_metrics_by_signal() {
    let rig = Rig::new();
    rig.calls.ok(Operation::Tool, "ls", 1);
    rig.flush();
    // An export does not include itself.
    rig.calls.ok(Operation::Tool, "ls", 1);
    let receiver = rig.flush();
    for (name, traces) in [("accepted", 2), ("failed", 0), ("dropped", 0)] {
        let metric = receiver.wait_for_metric(&format!("codex.telemetry.{name}"));
        assert_eq!(metric.kind, MetricKind::Sum { monotonic: true });
        assert_eq!(metric.unit, "{record}");
        assert_eq!(metric.points.len(), 3);
        let label = [("codex.telemetry.signal", "traces".into())];
        let point = metric.point(&label).unwrap();
        assert_eq!(point.as_int(), Some(traces), "{name}");
        assert_eq!(point.attributes.len(), 1);
    }
    let exported = receiver.wait_for_metric("codex.telemetry.exported");
    let label = [("codex.telemetry.signal", "metrics".into())];
    assert_eq!(exported.point(&label).unwrap().as_int(), Some(2));
}

#[test]
fn failures_are_in_the_next_successful_export_of_metrics() {
    let rig = Rig::new();
    rig.receiver.respond_with(MockResponse::Status(400));
    rig.calls.ok(Operation::Tool, "ls", 1);
    rig.sink.flush(crate::rig::PATIENCE).unwrap_err();
    rig.receiver.respond_with(MockResponse::Accept);
    rig.calls.ok(Operation::Tool, "ls", 1);
    let failed = rig.flush().wait_for_metric("codex.telemetry.failed");
    for (signal, count) in [("traces", 1), ("metrics", 2), ("logs", 2)] {
        let label = [("codex.telemetry.signal", signal.into())];
        assert_eq!(
            failed.point(&label).unwrap().as_int(),
            Some(count),
            "{signal}"
        );
    }
}

#[test]
fn a_disabled_signal_has_no_counters() {
    use codex_telemetry::otlp::Signal;
    let rig = Rig::with(|config| config.signals([Signal::Metrics, Signal::Logs]));
    rig.calls.ok(Operation::Tool, "ls", 1);
    let receiver = rig.flush();
    let accepted = receiver.wait_for_metric("codex.telemetry.accepted");
    let label = [("codex.telemetry.signal", "traces".into())];
    assert_eq!(accepted.point(&label), None);
    assert_eq!(receiver.spans(), []);
}
