//! The stats are exported as metrics.

use std::time::Duration;

use codex_telemetry::{OtlpSink, otlp::Signal};

use crate::{
    receiver::{MockResponse, Receiver, Value},
    rig::{PATIENCE, Wire, calls, emit},
};

fn exported_count(receiver: &Receiver, metric: &str, signal: Signal) -> Option<i64> {
    let label = Value::String(signal.as_str().to_owned());
    receiver
        .metric(metric)?
        .point(&[("codex.telemetry.signal", label)])?
        .as_int()
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
    let _ = sink.flush(PATIENCE);
    // The export of metrics may begin before those of the other signals end. The next one includes
    // them.
    calls(sink.clone(), 1);
    let before = sink.stats();
    let _ = sink.flush(PATIENCE);
    let count = |metric, signal| exported_count(&receiver, metric, signal).unwrap_or(-1);
    let as_sent = |count: u64| i64::try_from(count).unwrap();
    for signal in Signal::ALL {
        let expected = as_sent(before.of(signal).accepted);
        assert_eq!(count("codex.telemetry.accepted", signal), expected);
        assert_eq!(count("codex.telemetry.dropped", signal), 0);
    }
    assert!(count("codex.telemetry.exported", Signal::Traces) >= 5);
    assert_eq!(count("codex.telemetry.exported", Signal::Logs), 0);
    assert!(count("codex.telemetry.failed", Signal::Logs) >= 10);
    assert_eq!(count("codex.telemetry.failed", Signal::Traces), 0);
}

#[test]
fn dropped_events_are_exported_as_a_metric() {
    let receiver = Receiver::http();
    let config = Wire::Http.config(&receiver.endpoint()).queue_capacity(2);
    let sink = OtlpSink::start(config.build().unwrap());
    while sink.stats().logs.dropped == 0 {
        emit(&sink, 100);
    }
    let dropped = sink.stats().logs.dropped;
    let _ = sink.flush(PATIENCE);
    let found = exported_count(&receiver, "codex.telemetry.dropped", Signal::Logs);
    assert_eq!(found, Some(i64::try_from(dropped).unwrap()));
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
    assert_eq!(sink.shutdown(PATIENCE), Ok(()));
    for (signal, exported) in [(Signal::Traces, 5), (Signal::Logs, 10)] {
        let found = exported_count(&receiver, "codex.telemetry.exported", signal);
        assert_eq!(found, Some(exported), "{signal}: {}", sink.stats());
    }
}
