//! Custom exporters instead of OTLP.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, Ordering::Relaxed},
};

use codex_telemetry::{
    CallContext, ErrorClass, Operation, OtlpConfig, OtlpSink,
    otlp::{RecordView, Signal},
};
use opentelemetry::KeyValue;
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    logs::{LogBatch, LogExporter},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{SpanData, SpanExporter},
};

use super::support::{Calls, millis, start_time};
use crate::{
    receiver::{Receiver, closed_port},
    rig::{PATIENCE, spans_only},
};

/// An exporter of all signals that records a text for each record.
#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

/// An exporter that keeps the spans of each attempt, and whose first one times out.
#[derive(Clone, Debug, Default)]
struct Slow(Arc<Mutex<Vec<Vec<SpanData>>>>);

/// An exporter that fails.
#[derive(Debug)]
struct Failing;

impl Recorder {
    fn record(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl SpanExporter for Recorder {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        for span in batch {
            assert_eq!(span.start_time, start_time());
            assert_eq!(span.end_time, start_time() + millis(250));
            self.record(span.name);
        }
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.record(format!("{:?}", resource.get(&"service.name".into())));
    }
}

impl LogExporter for Recorder {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        for (record, scope) in batch.iter() {
            self.record(format!("{} {:?}", scope.name(), record.event_name()));
        }
        Ok(())
    }
}

impl PushMetricExporter for Recorder {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
            self.record(metric.name());
        }
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: std::time::Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

impl SpanExporter for Slow {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut attempts = self.0.lock().unwrap();
        attempts.push(batch);
        match attempts.len() {
            1 => Err(OTelSdkError::Timeout(millis(1))),
            _ => Ok(()),
        }
    }
}

impl SpanExporter for Failing {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Err(OTelSdkError::InternalFailure("out of paper".to_owned()))
    }
}

fn config(endpoint: &str) -> OtlpConfig {
    let config = OtlpConfig::builder().endpoint(endpoint);
    config.service_name("release-bot").build().unwrap()
}

#[test]
fn custom_exporters_receive_everything_without_a_connection() {
    let (spans, logs, metrics) = (
        Recorder::default(),
        Recorder::default(),
        Recorder::default(),
    );
    let sink = OtlpSink::builder(config(&closed_port()))
        .span_exporter(spans.clone())
        .log_exporter(logs.clone())
        .metric_exporter(metrics.clone())
        .start();
    Calls::new(sink.clone()).ok(Operation::Tool, "ls", 250);
    sink.blocking_shutdown(PATIENCE).unwrap();
    let service = "Some(String(Owned(\"release-bot\")))";
    assert_eq!(spans.all(), [service, "execute_tool ls"]);
    let names = ["start", "stop"];
    let names = names.map(|name| format!("codex-telemetry Some(\"codex.tool.{name}\")"));
    assert_eq!(logs.all(), names);
    let duration = "gen_ai.execute_tool.duration".to_owned();
    assert!(metrics.all().contains(&duration), "{:?}", metrics.all());
}

#[test]
fn a_custom_exporter_replaces_one_signal_only() {
    let receiver = Receiver::http();
    let spans = Recorder::default();
    let sink = OtlpSink::builder(config(&receiver.endpoint()))
        .span_exporter(spans.clone())
        .start();
    Calls::new(sink.clone()).ok(Operation::Tool, "ls", 250);
    sink.blocking_shutdown(PATIENCE).unwrap();
    assert_eq!(spans.all().len(), 2);
    assert_eq!(receiver.spans(), []);
    assert_eq!(receiver.logs().len(), 2);
}

#[test]
fn each_attempt_gets_the_same_spans_with_processors_and_without() {
    for has_processor in [false, true] {
        let exporter = Slow::default();
        let mut sink = spans_only(|config| config).span_exporter(exporter.clone());
        if has_processor {
            let seen = AtomicI64::new(0);
            sink = sink.processor(move |record: &mut RecordView<'_>| {
                record.set_attribute("seen", seen.fetch_add(1, Relaxed));
            });
        }
        let sink = sink.start();
        let calls = Calls::new(sink.clone());
        calls.ok(Operation::Tool, "ls", 250);
        let work = |context: CallContext| {
            context.record("rows", 12);
            context.add_event_with("half", [KeyValue::new("at", 6)]);
            context.classify(ErrorClass::Timeout);
            Err("no")
        };
        let failed = calls.run(Operation::Turn, "x", CallContext::new(), work);
        failed.unwrap_err();
        sink.blocking_shutdown(PATIENCE).unwrap();
        let attempts = exporter.0.lock().unwrap();
        let [first, second] = &attempts[..] else {
            panic!("{} attempts", attempts.len())
        };
        assert_eq!(first.len(), 2);
        assert_eq!(first, second);
    }
}

#[test]
fn a_failing_custom_exporter_fails_its_signal_only() {
    let receiver = Receiver::http();
    let sink = OtlpSink::builder(config(&receiver.endpoint()))
        .span_exporter(Failing)
        .start();
    let calls = Calls::new(sink.clone());
    calls.ok(Operation::Tool, "ls", 250);
    let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
    assert_eq!(undelivered.failed(Signal::Traces), 1);
    let problem = undelivered.problem(Signal::Traces).unwrap();
    assert!(problem.contains("out of paper"), "{problem}");
    assert_eq!(undelivered.failed(Signal::Logs), 0);
    // Later calls succeed.
    let context = CallContext::new();
    calls
        .run(Operation::Tool, "ls", context, |_| Ok(()))
        .unwrap();
}
