//! Spans and log records have limits of their own.

use codex_telemetry::{OtlpConfig, OtlpSink, otlp::Signal};

use crate::{
    receiver::Receiver,
    rig::{PATIENCE, assert_all_exported, calls},
};

fn start(receiver: &Receiver, variables: &[(&str, &str)]) -> OtlpSink {
    let endpoint = receiver.endpoint();
    let all = [("CODEX_OTLP_ENDPOINT", endpoint.as_str())];
    let all = all.into_iter().chain(variables.iter().copied());
    let with_warnings = OtlpConfig::from_variables(all);
    assert!(with_warnings.warnings.is_empty());
    OtlpSink::start(with_warnings.config.unwrap())
}

/// Returns the numbers of requests with spans and with log records.
fn requests(receiver: &Receiver) -> (usize, usize) {
    let requests = receiver.requests();
    let count = |path| requests.iter().filter(|of| of.path == path).count();
    (count("/v1/traces"), count("/v1/logs"))
}

#[test]
fn each_signal_has_its_own_delay() {
    let hour = "3600000";
    for (spans, logs) in [("10", hour), (hour, "10")] {
        let receiver = Receiver::http();
        let variables = [
            ("OTEL_BSP_SCHEDULE_DELAY", spans),
            ("OTEL_BLRP_SCHEDULE_DELAY", logs),
        ];
        let sink = start(&receiver, &variables);
        calls(sink.clone(), 3);
        if logs == hour {
            receiver.wait_for_spans(3);
            assert_eq!(receiver.logs().len(), 0);
        } else {
            receiver.wait_for_logs(6);
            assert_eq!(receiver.spans().len(), 0);
        }
        assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
        assert_all_exported(&sink, 3);
    }
}

#[test]
fn each_signal_has_its_own_batch_size() {
    let receiver = Receiver::http();
    let variables = [
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5"),
        ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "2"),
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "3600000"),
    ];
    let sink = start(&receiver, &variables);
    calls(sink.clone(), 10);
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
    assert_all_exported(&sink, 10);
    let (spans, logs) = requests(&receiver);
    // A batch is smaller if the export thread took the events in between.
    assert!((2..=10).contains(&spans), "{spans} requests");
    assert!((10..=20).contains(&logs), "{logs} requests");
    assert_eq!(sink.stats().of(Signal::Logs).exported, 20);
}
