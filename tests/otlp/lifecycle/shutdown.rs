//! The result of a shutdown, and how long it takes.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver as Channel, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use codex_telemetry::{OtlpConfig, OtlpSink, otlp::Signal};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{SpanData, SpanExporter},
};

use crate::{
    receiver::closed_port,
    rig::{Gate, Gated, PATIENCE, calls, spans_only},
};

const SOON: Duration = Duration::from_millis(100);
/// How long a slow exporter takes, and how late a shutdown may return on a busy machine.
const SLOW: Duration = Duration::from_secs(20);
const SLACK: Duration = Duration::from_secs(10);

#[test]
fn a_second_shutdown_returns_the_result_of_the_first() {
    let gate = Gate::closed();
    let sink = spans_only(|config| config)
        .span_exporter(Gated::waiting(&gate))
        .start();
    calls(sink.clone(), 10);
    let first = sink.blocking_shutdown(SOON).unwrap_err();
    assert_eq!(first.pending(Signal::Traces), 10, "{first}");
    assert_eq!(sink.blocking_shutdown(PATIENCE), Err(first));
}

#[test]
fn a_shutdown_during_another_one_waits_for_its_result() {
    let gate = Gate::closed();
    let sink = spans_only(|config| config)
        .span_exporter(Gated::waiting(&gate))
        .start();
    calls(sink.clone(), 10);
    thread::scope(|scope| {
        let first = scope.spawn(|| sink.blocking_shutdown(PATIENCE));
        gate.wait_for_export();
        let undelivered = sink.blocking_shutdown(Duration::ZERO).unwrap_err();
        assert_eq!(undelivered.pending(Signal::Traces), 10, "{undelivered}");
        gate.open();
        assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
        assert_eq!(first.join().unwrap(), Ok(()));
    });
    assert_eq!(sink.stats().traces.exported, 10);
}

/// An exporter whose drop or whose shutdown waits for a signal.
#[derive(Debug)]
struct Slow {
    drop: Option<Mutex<Channel<()>>>,
    shutdown: Option<Mutex<Channel<()>>>,
}

fn wait(slow: Option<&Mutex<Channel<()>>>) {
    if let Some(slow) = slow {
        let _ = slow.lock().unwrap().recv_timeout(SLOW);
    }
}

impl SpanExporter for Slow {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown(&self) -> OTelSdkResult {
        wait(self.shutdown.as_ref());
        Ok(())
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        wait(self.drop.as_ref());
    }
}

fn slow() -> (Sender<()>, Option<Mutex<Channel<()>>>) {
    let (finish, finished) = channel();
    (finish, Some(Mutex::new(finished)))
}

#[test]
fn a_shutdown_does_not_wait_for_an_exporter_whose_drop_is_slow() {
    let (finish, drop) = slow();
    let shutdown = None;
    let sink = spans_only(|config| config)
        .span_exporter(Slow { drop, shutdown })
        .start();
    calls(sink.clone(), 1);
    let asked = Instant::now();
    assert_eq!(sink.blocking_shutdown(Duration::from_secs(1)), Ok(()));
    assert!(asked.elapsed() < SLACK, "{:?}", asked.elapsed());
    finish.send(()).unwrap();
}

#[test]
fn a_shutdown_does_not_wait_for_an_exporter_whose_shutdown_is_slow() {
    let (finish, shutdown) = slow();
    let drop = None;
    let sink = spans_only(|config| config)
        .span_exporter(Slow { drop, shutdown })
        .start();
    calls(sink.clone(), 3);
    let asked = Instant::now();
    let undelivered = sink.blocking_shutdown(Duration::from_secs(1)).unwrap_err();
    assert!(asked.elapsed() < SLACK, "{:?}", asked.elapsed());
    // Its records were exported, but it may have kept them.
    let text = undelivered.to_string();
    assert!(text.contains("did not respond in time"), "{text}");
    assert_eq!(sink.stats().traces.exported, 3);
    finish.send(()).unwrap();
}

/// An exporter of all signals that records its calls.
#[derive(Clone, Debug, Default)]
struct Calls(Arc<Mutex<Vec<&'static str>>>);

impl Calls {
    fn add(&self, call: &'static str) -> OTelSdkResult {
        self.0.lock().unwrap().push(call);
        Ok(())
    }

    fn all(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

impl SpanExporter for Calls {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        self.add("export")
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.add("shutdown")
    }
}

impl LogExporter for Calls {
    async fn export(&self, _: LogBatch<'_>) -> OTelSdkResult {
        self.add("export")
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.add("shutdown")
    }
}

impl PushMetricExporter for Calls {
    async fn export(&self, _: &ResourceMetrics) -> OTelSdkResult {
        self.add("export")
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        self.add("shutdown")
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

#[test]
fn custom_exporters_are_shut_down_once_after_the_last_export() {
    for is_dropped in [false, true] {
        let (spans, logs, metrics) = (Calls::default(), Calls::default(), Calls::default());
        let config = OtlpConfig::builder().endpoint(&closed_port()).build();
        let sink = OtlpSink::builder(config.unwrap())
            .span_exporter(spans.clone())
            .log_exporter(logs.clone())
            .metric_exporter(metrics.clone())
            .start();
        calls(sink.clone(), 2);
        if is_dropped {
            drop(sink);
        } else {
            assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
            assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
        }
        for exporter in [spans, logs, metrics] {
            assert_eq!(exporter.all(), ["export", "shutdown"], "{is_dropped}");
        }
    }
}
