use std::panic::{AssertUnwindSafe, catch_unwind};

use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter};
use opentelemetry_sdk::{error::OTelSdkResult, metrics::Temporality};
use tracing::{Dispatch, dispatcher::with_default, instrument::WithSubscriber};

#[cfg(feature = "grpc")]
use super::grpc;
use super::{diagnostics::Collector, http, outcome::ExportOutcome};
#[cfg(feature = "grpc")]
use crate::otlp::config::Protocol;
use crate::{error::BoxError, otlp::config::SignalConfig};

/// The destination of a custom exporter, in problems.
pub(crate) const CUSTOM: &str = "the custom exporter";

/// The exporter of one signal, and what determines the outcome of its exports.
pub(crate) struct Exporter<E> {
    destination: String,
    diagnostics: Collector,
    /// Created once: for each new one, `tracing` checks all callsites again.
    dispatch: Dispatch,
    /// The exporter of the SDK, or why it could not be built.
    pub(crate) inner: Result<E, String>,
    shutdown: fn(&E) -> OTelSdkResult,
}

/// Builds the exporter of spans. Call it in the runtime that will run the exports.
pub(crate) fn spans(config: &SignalConfig) -> Exporter<SpanExporter> {
    Exporter::new(config.endpoint.to_string(), |diagnostics| {
        let builder = SpanExporter::builder();
        #[cfg(feature = "grpc")]
        if config.protocol == Protocol::Grpc {
            return Ok(grpc::configure(builder.with_tonic(), config)?.build()?);
        }
        Ok(http::configure(builder.with_http(), config, diagnostics)?.build()?)
    })
}

/// Builds the exporter of log records, as [`spans`].
pub(crate) fn logs(config: &SignalConfig) -> Exporter<LogExporter> {
    Exporter::new(config.endpoint.to_string(), |diagnostics| {
        let builder = LogExporter::builder();
        #[cfg(feature = "grpc")]
        if config.protocol == Protocol::Grpc {
            return Ok(grpc::configure(builder.with_tonic(), config)?.build()?);
        }
        Ok(http::configure(builder.with_http(), config, diagnostics)?.build()?)
    })
}

/// Builds the exporter of metrics, as [`spans`].
pub(crate) fn metrics(config: &SignalConfig, temporality: Temporality) -> Exporter<MetricExporter> {
    Exporter::new(config.endpoint.to_string(), |diagnostics| {
        let builder = MetricExporter::builder().with_temporality(temporality);
        #[cfg(feature = "grpc")]
        if config.protocol == Protocol::Grpc {
            return Ok(grpc::configure(builder.with_tonic(), config)?.build()?);
        }
        Ok(http::configure(builder.with_http(), config, diagnostics)?.build()?)
    })
}

// === impl Exporter ===

impl<E> Exporter<E> {
    /// Wraps a custom exporter of the application. `shutdown` is the method of its trait that
    /// [`shutdown`](Self::shutdown) calls.
    pub(crate) fn custom(exporter: E, shutdown: fn(&E) -> OTelSdkResult) -> Self {
        Self {
            shutdown,
            ..Self::new(CUSTOM.to_owned(), |_| Ok(exporter))
        }
    }

    /// Shuts a custom exporter down, and returns what went wrong. The others have nothing to shut down.
    ///
    /// Call it once, after the last export. It runs code of the application: it may block the thread for
    /// any time, and its panics are caught.
    pub(crate) fn shutdown(&self) -> Result<(), String> {
        let Ok(exporter) = &self.inner else {
            return Ok(());
        };
        match catch_unwind(AssertUnwindSafe(|| (self.shutdown)(exporter))) {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the shutdown panicked".to_owned()),
        }
        .map_err(|error| format!("{}: {error}", self.destination))
    }

    fn new(destination: String, build: impl FnOnce(&Collector) -> Result<E, BoxError>) -> Self {
        let diagnostics = Collector::default();
        let dispatch = Dispatch::new(diagnostics.clone());
        // The exporter over gRPC logs its URL, which may contain a password.
        let inner = with_default(&dispatch, || build(&diagnostics));
        Self {
            inner: inner.map_err(|error| format!("{destination}: {error}")),
            dispatch,
            diagnostics,
            destination,
            shutdown: |_| Ok(()),
        }
    }

    /// Runs one export and returns its outcome. An exporter that could not be built rejects everything.
    pub(crate) async fn export(
        &self,
        export: impl AsyncFnOnce(&E) -> OTelSdkResult,
    ) -> ExportOutcome {
        let exporter = match &self.inner {
            Ok(exporter) => exporter,
            Err(problem) => {
                let problem = problem.clone();
                return ExportOutcome::Rejected(problem.into());
            }
        };
        // A panicking export may have left something behind.
        self.diagnostics.take();
        let export = export(exporter).with_subscriber(self.dispatch.clone());
        let result = export.await;
        ExportOutcome::new(&self.destination, result, self.diagnostics.take())
    }
}
