use std::{fmt, future::Future, pin::Pin};

use opentelemetry_otlp::{
    Compression, LogExporter, MetricExporter, Protocol as OtlpProtocol, RetryPolicy, SpanExporter,
    WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::LogBatch,
    metrics::{Temporality, data::ResourceMetrics},
    trace::SpanData,
};
use tracing::{Dispatch, instrument::WithSubscriber};

use super::{
    config::{Protocol, SignalConfig},
    delivery::{Delivery, judge},
    ear::Ear,
    http::Client,
};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One signal's exporter, and what is needed to judge its exports.
pub(super) struct Exporter<E: ?Sized> {
    name: String,
    client: Option<Client>,
    ear: Ear,
    /// The ear as a subscriber, made once: making one has `tracing` look at every callsite anew.
    listening: Dispatch,
    /// Why it could not be started.
    broken: Option<String>,
    pub(super) exporter: Box<E>,
}

/// In the place of an exporter that could not be started.
pub(super) struct Nothing;

/// The SDK's exporters have futures of their own types, so their traits cannot be objects; these can.
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

impl<E: ?Sized> Exporter<E> {
    fn new(name: String, client: Option<Client>, exporter: Box<E>) -> Self {
        let ear = Ear::default();
        Self {
            name,
            client,
            listening: Dispatch::new(ear.clone()),
            ear,
            broken: None,
            exporter,
        }
    }

    /// An exporter of the application's own.
    pub(super) fn own(exporter: Box<E>) -> Self {
        Self::new("the application's exporter".to_owned(), None, exporter)
    }

    /// An exporter that could not be started, which refuses everything for that reason.
    pub(super) fn broken(why: String, nothing: Box<E>) -> Self {
        Self {
            broken: Some(why),
            ..Self::own(nothing)
        }
    }

    /// Runs one export, and tells what became of it.
    pub(super) async fn run(&self, export: impl Future<Output = OTelSdkResult>) -> Delivery {
        if let Some(problem) = self.broken.clone() {
            return Delivery::Refused { problem };
        }
        // What an export that was given up on has left behind.
        self.ear.take();
        if let Some(client) = &self.client {
            client.take_exchange();
        }
        let result = export.with_subscriber(self.listening.clone()).await;
        let exchange = self.client.as_ref().and_then(Client::take_exchange);
        judge(&self.name, result, exchange, self.ear.take())
    }
}

/// Builds the exporters of a signal: over HTTP with a client of ours, over gRPC where that is compiled
/// in. Must run inside the runtime that will run the exports.
macro_rules! build {
    ($config:expr, $builder:expr) => {{
        let config: &SignalConfig = $config;
        let name = config.endpoint().to_string();
        match config.protocol {
            #[cfg(feature = "grpc")]
            Protocol::Grpc => {
                let exporter = super::grpc::configure($builder.with_tonic(), config)?.build();
                let exporter = exporter.map_err(|error| format!("{name}: {error}"))?;
                (name, None, exporter)
            }
            _ => {
                let client = Client::new(config).map_err(|why| format!("{name}: {why}"))?;
                let mut builder = $builder
                    .with_http()
                    .with_http_client(client.clone())
                    .with_endpoint(config.endpoint.as_str())
                    .with_protocol(match config.protocol {
                        Protocol::HttpJson => OtlpProtocol::HttpJson,
                        _ => OtlpProtocol::HttpBinary,
                    })
                    .with_timeout(config.timeout)
                    // The lane tries again, for as long as there is room to wait.
                    .with_retry_policy(RetryPolicy::disabled());
                if config.gzip {
                    builder = builder.with_compression(Compression::Gzip);
                }
                let exporter = builder
                    .build()
                    .map_err(|error| format!("{name}: {error}"))?;
                (name, Some(client), exporter)
            }
        }
    }};
}

pub(super) fn spans(config: &SignalConfig) -> Result<Exporter<dyn ExportSpans>, String> {
    let (name, client, exporter) = build!(config, SpanExporter::builder());
    Ok(Exporter::new(name, client, Box::new(exporter)))
}

pub(super) fn logs(config: &SignalConfig) -> Result<Exporter<dyn ExportLogs>, String> {
    let (name, client, exporter) = build!(config, LogExporter::builder());
    Ok(Exporter::new(name, client, Box::new(exporter)))
}

pub(super) fn metrics(config: &SignalConfig) -> Result<Exporter<dyn ExportMetrics>, String> {
    let builder = MetricExporter::builder().with_temporality(Temporality::Cumulative);
    let (name, client, exporter) = build!(config, builder);
    Ok(Exporter::new(name, client, Box::new(exporter)))
}

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

impl ExportSpans for Nothing {
    fn export(&self, _: Vec<SpanData>) -> BoxFuture<'_, OTelSdkResult> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn set_resource(&mut self, _: &Resource) {}
}

impl ExportLogs for Nothing {
    fn export<'a>(&'a self, _: LogBatch<'a>) -> BoxFuture<'a, OTelSdkResult> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn set_resource(&mut self, _: &Resource) {}
}

impl ExportMetrics for Nothing {
    fn export<'a>(&'a self, _: &'a ResourceMetrics) -> BoxFuture<'a, OTelSdkResult> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

impl<E: ?Sized> fmt::Debug for Exporter<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
