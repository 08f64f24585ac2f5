use std::{future::Future, pin::Pin};

use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::LogBatch,
    metrics::{Temporality, data::ResourceMetrics},
    trace::SpanData,
};
use tracing::{Dispatch, instrument::WithSubscriber};

#[cfg(feature = "grpc")]
use super::{config::Protocol, grpc};
use super::{
    config::SignalConfig,
    diagnostics::Collector,
    http::{self, Client},
    outcome::ExportOutcome,
};
use crate::error::BoxError;

/// The destination of a custom exporter, in problems.
pub(super) const CUSTOM: &str = "the custom exporter";

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An exporter that was built, and its HTTP client if it uses HTTP.
type Built<E> = Result<(Box<E>, Option<Client>), BoxError>;

/// The exporter of one signal, and what determines the outcome of its exports.
pub(super) struct Exporter<E: ?Sized> {
    destination: String,
    /// The HTTP client of an exporter that uses HTTP.
    client: Option<Client>,
    diagnostics: Collector,
    /// Created once: for each new one, `tracing` checks all callsites again.
    dispatch: Dispatch,
    /// The exporter, or why it could not be built.
    exporter: Result<Box<E>, String>,
}

// The SDK's traits return futures of unnamed types, so they are not dyn compatible. These are.

pub(super) trait ExportSpans: Send + Sync {
    fn export(&self, batch: Vec<SpanData>) -> BoxFuture<'_, OTelSdkResult>;
    fn set_resource(&mut self, resource: &Resource);
}

pub(super) trait ExportLogs: Send + Sync {
    fn export<'a>(&'a self, batch: LogBatch<'a>) -> BoxFuture<'a, OTelSdkResult>;
    fn set_resource(&mut self, resource: &Resource);
}

pub(super) trait ExportMetrics: Send + Sync {
    fn export<'a>(&'a self, metrics: &'a ResourceMetrics) -> BoxFuture<'a, OTelSdkResult>;
    fn temporality(&self) -> Temporality;
}

/// Builds the exporter of spans. Call it in the runtime that will run the exports.
pub(super) fn spans(config: &SignalConfig) -> Exporter<dyn ExportSpans> {
    Exporter::build(config, |config| {
        let builder = SpanExporter::builder();
        #[cfg(feature = "grpc")]
        if config.protocol == Protocol::Grpc {
            let exporter = grpc::configure(builder.with_tonic(), config)?.build()?;
            return Ok((Box::new(exporter), None));
        }
        let (builder, client) = http::configure(builder.with_http(), config)?;
        Ok((Box::new(builder.build()?), Some(client)))
    })
}

/// Builds the exporter of log records, as [`spans`].
pub(super) fn logs(config: &SignalConfig) -> Exporter<dyn ExportLogs> {
    Exporter::build(config, |config| {
        let builder = LogExporter::builder();
        #[cfg(feature = "grpc")]
        if config.protocol == Protocol::Grpc {
            let exporter = grpc::configure(builder.with_tonic(), config)?.build()?;
            return Ok((Box::new(exporter), None));
        }
        let (builder, client) = http::configure(builder.with_http(), config)?;
        Ok((Box::new(builder.build()?), Some(client)))
    })
}

/// Builds the exporter of metrics, as [`spans`].
pub(super) fn metrics(config: &SignalConfig) -> Exporter<dyn ExportMetrics> {
    Exporter::build(config, |config| {
        let builder = MetricExporter::builder().with_temporality(Temporality::Cumulative);
        #[cfg(feature = "grpc")]
        if config.protocol == Protocol::Grpc {
            let exporter = grpc::configure(builder.with_tonic(), config)?.build()?;
            return Ok((Box::new(exporter), None));
        }
        let (builder, client) = http::configure(builder.with_http(), config)?;
        Ok((Box::new(builder.build()?), Some(client)))
    })
}

// === impl Exporter ===

impl<E: ?Sized> Exporter<E> {
    /// Wraps a custom exporter of the application.
    pub(super) fn custom(exporter: Box<E>) -> Self {
        Self::new(CUSTOM.to_owned(), None, Ok(exporter))
    }

    fn build(config: &SignalConfig, build: fn(&SignalConfig) -> Built<E>) -> Self {
        let destination = config.endpoint().to_string();
        match build(config) {
            Ok((exporter, client)) => Self::new(destination, client, Ok(exporter)),
            Err(error) => {
                let problem = format!("{destination}: {error}");
                Self::new(destination, None, Err(problem))
            }
        }
    }

    fn new(destination: String, client: Option<Client>, exporter: Result<Box<E>, String>) -> Self {
        let diagnostics = Collector::default();
        Self {
            destination,
            client,
            dispatch: Dispatch::new(diagnostics.clone()),
            diagnostics,
            exporter,
        }
    }

    /// Returns the exporter, or why it could not be built.
    pub(super) fn get_mut(&mut self) -> Result<&mut E, &str> {
        match &mut self.exporter {
            Ok(exporter) => Ok(&mut **exporter),
            Err(problem) => Err(problem),
        }
    }

    /// Runs one export and returns its outcome. An exporter that could not be built rejects everything.
    pub(super) async fn export<'a>(
        &'a self,
        export: impl FnOnce(&'a E) -> BoxFuture<'a, OTelSdkResult>,
    ) -> ExportOutcome {
        let exporter = match &self.exporter {
            Ok(exporter) => exporter,
            Err(problem) => {
                let problem = problem.clone();
                return ExportOutcome::Rejected { problem };
            }
        };
        // A panicking export may have left something behind.
        self.diagnostics.take();
        let take_exchange = || self.client.as_ref().and_then(Client::take_exchange);
        take_exchange();
        let result = export(exporter)
            .with_subscriber(self.dispatch.clone())
            .await;
        let diagnostics = self.diagnostics.take();
        ExportOutcome::new(&self.destination, result, take_exchange(), diagnostics)
    }
}

// === impl ExportSpans, ExportLogs, ExportMetrics ===

impl<E: opentelemetry_sdk::trace::SpanExporter> ExportSpans for E {
    fn export(&self, batch: Vec<SpanData>) -> BoxFuture<'_, OTelSdkResult> {
        Box::pin(opentelemetry_sdk::trace::SpanExporter::export(self, batch))
    }

    fn set_resource(&mut self, resource: &Resource) {
        opentelemetry_sdk::trace::SpanExporter::set_resource(self, resource);
    }
}

impl<E: opentelemetry_sdk::logs::LogExporter> ExportLogs for E {
    fn export<'a>(&'a self, batch: LogBatch<'a>) -> BoxFuture<'a, OTelSdkResult> {
        Box::pin(opentelemetry_sdk::logs::LogExporter::export(self, batch))
    }

    fn set_resource(&mut self, resource: &Resource) {
        opentelemetry_sdk::logs::LogExporter::set_resource(self, resource);
    }
}

impl<E: opentelemetry_sdk::metrics::exporter::PushMetricExporter> ExportMetrics for E {
    fn export<'a>(&'a self, metrics: &'a ResourceMetrics) -> BoxFuture<'a, OTelSdkResult> {
        Box::pin(opentelemetry_sdk::metrics::exporter::PushMetricExporter::export(self, metrics))
    }

    fn temporality(&self) -> Temporality {
        opentelemetry_sdk::metrics::exporter::PushMetricExporter::temporality(self)
    }
}
