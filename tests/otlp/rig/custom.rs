use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use codex_telemetry::{
    OtlpConfig, OtlpSink,
    otlp::{OtlpSinkBuilder, Signal, config::OtlpConfigBuilder},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use tokio::sync::Semaphore;

use super::block_on;
use crate::receiver::closed_port;

/// Returns a builder of a sink that exports spans only. The caller sets the exporter.
pub(crate) fn spans_only(
    configure: impl FnOnce(OtlpConfigBuilder) -> OtlpConfigBuilder,
) -> OtlpSinkBuilder {
    let config = OtlpConfig::builder()
        .endpoint(&closed_port())
        .schedule_delay(Duration::from_secs(3600))
        .signals([Signal::Traces]);
    OtlpSink::builder(configure(config).build().unwrap())
}

/// An exporter that records the spans.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<SpanData>>>);

impl Recorder {
    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.0.lock().unwrap().clone()
    }
}

impl SpanExporter for Recorder {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        self.0.lock().unwrap().extend(batch);
        async { Ok(()) }
    }
}

/// A gate that a [`Gated`] exporter waits for.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    entered: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    /// Returns a closed gate.
    pub(crate) fn closed() -> Self {
        Self {
            entered: Arc::new(Semaphore::new(0)),
            open: Arc::new(Semaphore::new(0)),
        }
    }

    pub(crate) fn open(&self) {
        self.open.close();
    }

    /// Waits until an export is at the gate.
    pub(crate) fn wait_for_export(&self) {
        let entered = block_on(self.entered.acquire());
        entered.expect("the semaphore is never closed").forget();
    }

    async fn pass(&self) {
        self.entered.add_permits(1);
        // An open gate is a closed semaphore, which is an error here.
        let _ = self.open.acquire().await;
    }
}

/// An exporter whose exports wait for a gate.
#[derive(Clone, Debug)]
pub(crate) struct Gated {
    gate: Gate,
    /// Whether an export blocks the export thread.
    blocks: bool,
    recorder: Recorder,
}

impl Gated {
    /// Returns an exporter that waits asynchronously.
    pub(crate) fn waiting(gate: &Gate) -> Self {
        Self {
            gate: gate.clone(),
            blocks: false,
            recorder: Recorder::default(),
        }
    }

    /// Returns an exporter that blocks its thread.
    pub(crate) fn blocking(gate: &Gate) -> Self {
        Self {
            blocks: true,
            ..Self::waiting(gate)
        }
    }

    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.recorder.spans()
    }
}

impl SpanExporter for Gated {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.blocks {
            block_on(self.gate.pass());
        } else {
            self.gate.pass().await;
        }
        self.recorder.export(batch).await
    }
}
