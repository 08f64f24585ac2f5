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

/// Returns a builder for a sink that exports spans alone, by an exporter that is still to be named.
pub(crate) fn spans_only(
    configure: impl FnOnce(OtlpConfigBuilder) -> OtlpConfigBuilder,
) -> OtlpSinkBuilder {
    let config = OtlpConfig::builder()
        .endpoint(&closed_port())
        .schedule_delay(Duration::from_secs(3600))
        .signals([Signal::Traces]);
    OtlpSink::builder(configure(config).build().unwrap())
}

/// An exporter that keeps what it is given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counting(Arc<Mutex<Vec<SpanData>>>);

impl Counting {
    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.0.lock().unwrap().clone()
    }
}

impl SpanExporter for Counting {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        self.0.lock().unwrap().extend(batch);
        async { Ok(()) }
    }
}

/// What holds up a [`Gated`] exporter, and can tell whether it has come that far.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    entered: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    /// A gate that is closed.
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
        entered.expect("the gate is not taken away").forget();
    }

    async fn pass(&self) {
        self.entered.add_permits(1);
        // An error is what comes when it is open.
        let _ = self.open.acquire().await;
    }
}

/// An exporter whose exports wait at a gate.
#[derive(Clone, Debug)]
pub(crate) struct Gated {
    gate: Gate,
    /// Whether the export thread itself is held up, as by an exporter that blocks.
    blocks: bool,
    taken: Counting,
}

impl Gated {
    /// An exporter that waits as it should.
    pub(crate) fn waiting(gate: &Gate) -> Self {
        Self {
            gate: gate.clone(),
            blocks: false,
            taken: Counting::default(),
        }
    }

    /// An exporter that blocks its thread.
    pub(crate) fn blocking(gate: &Gate) -> Self {
        Self {
            blocks: true,
            ..Self::waiting(gate)
        }
    }

    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.taken.spans()
    }
}

impl SpanExporter for Gated {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        if self.blocks {
            block_on(self.gate.pass());
        } else {
            self.gate.pass().await;
        }
        self.taken.export(batch).await
    }
}
