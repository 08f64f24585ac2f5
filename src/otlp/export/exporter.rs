use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, Protocol as OtlpProtocol, RetryPolicy,
    SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

use super::{
    client::{Answer, Client},
    outcome::{ExportOutcome, Problem},
};
use crate::{
    error::catch_panic,
    otlp::config::{OtlpConfig, Protocol, Signal, SignalConfig},
};

/// The destination of a custom exporter, in problems.
pub(crate) const CUSTOM: &str = "the custom exporter";

/// The URL of the exporters' requests. Their client knows the URL of the receiver, which may contain a
/// password.
const PLACEHOLDER: &str = "http://localhost/";

/// The exporter of one signal, and what determines the outcome of its exports.
pub(crate) struct Exporter<E> {
    destination: String,
    answer: Answer,
    /// The exporter of the SDK, or why it could not be built.
    pub(crate) inner: Result<E, String>,
    shutdown: fn(&E) -> OTelSdkResult,
}

/// Builds the exporter of spans. Call it in the runtime that will run the exports.
pub(crate) fn spans(signal: &SignalConfig, config: &OtlpConfig) -> Exporter<SpanExporter> {
    let builder = SpanExporter::builder().with_http();
    Exporter::otlp(Signal::Traces, signal, config, builder, |builder| {
        builder.build()
    })
}

/// Builds the exporter of log records, as [`spans`].
pub(crate) fn logs(signal: &SignalConfig, config: &OtlpConfig) -> Exporter<LogExporter> {
    let builder = LogExporter::builder().with_http();
    Exporter::otlp(Signal::Logs, signal, config, builder, |builder| {
        builder.build()
    })
}

/// Builds the exporter of metrics, as [`spans`].
pub(crate) fn metrics(signal: &SignalConfig, config: &OtlpConfig) -> Exporter<MetricExporter> {
    let builder = MetricExporter::builder().with_temporality(config.temporality().into());
    let builder = builder.with_http();
    Exporter::otlp(Signal::Metrics, signal, config, builder, |builder| {
        builder.build()
    })
}

// === impl Exporter ===

impl<E> Exporter<E> {
    /// Wraps a custom exporter of the application. `shutdown` is the method of its trait that
    /// [`shutdown`](Self::shutdown) calls.
    pub(crate) fn custom(exporter: E, shutdown: fn(&E) -> OTelSdkResult) -> Self {
        Self {
            destination: CUSTOM.to_owned(),
            answer: Answer::default(),
            inner: Ok(exporter),
            shutdown,
        }
    }

    /// Builds an exporter of `opentelemetry-otlp`, which converts and serializes records, over the client of
    /// this crate, which sends them.
    fn otlp<B>(
        signal: Signal,
        config: &SignalConfig,
        all: &OtlpConfig,
        builder: B,
        build: impl FnOnce(B) -> Result<E, ExporterBuildError>,
    ) -> Self
    where
        B: WithExportConfig + WithHttpConfig,
    {
        let answer = Answer::default();
        let client = Client::new(signal, config, all, answer.clone());
        let inner = client.and_then(|client| {
            // Each of these would be read from the environment otherwise. Compression and headers are read
            // nevertheless, and the client undoes them.
            let builder = builder
                .with_http_client(client)
                .with_endpoint(PLACEHOLDER)
                .with_protocol(match config.protocol {
                    Protocol::HttpJson => OtlpProtocol::HttpJson,
                    _ => OtlpProtocol::HttpBinary,
                })
                .with_timeout(config.timeout)
                // The client checks the size.
                .with_max_request_body_size(usize::MAX)
                // The pipeline retries.
                .with_retry_policy(RetryPolicy::disabled());
            build(builder).map_err(|error| error.to_string())
        });
        let mut destination = config.endpoint.to_string();
        if let Some(proxy) = &config.proxy {
            destination += &format!(" through the proxy {proxy}");
        }
        Self {
            inner: inner.map_err(|error| format!("{destination}: {error}")),
            answer,
            destination,
            shutdown: |_| Ok(()),
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
        match catch_panic(|| (self.shutdown)(exporter)) {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the shutdown panicked".to_owned()),
        }
        .map_err(|error| format!("{}: {error}", self.destination))
    }

    /// Runs one export and returns its outcome. An exporter that could not be built rejects everything.
    pub(crate) async fn export(
        &self,
        export: impl AsyncFnOnce(&E) -> OTelSdkResult,
    ) -> ExportOutcome {
        let exporter = match &self.inner {
            Ok(exporter) => exporter,
            Err(problem) => {
                return ExportOutcome::Rejected(Problem::new("exporter_build", problem));
            }
        };
        // A panicking export may have left something behind.
        self.answer.take();
        let result = export(exporter).await;
        let outcome = self.answer.take().unwrap_or_else(|| outcome(result));
        outcome.at(&self.destination)
    }
}

/// Returns the outcome of an export without a request: that of a custom exporter.
fn outcome(result: OTelSdkResult) -> ExportOutcome {
    match result {
        Ok(()) => ExportOutcome::accepted(None),
        Err(OTelSdkError::Timeout(after)) => {
            let text = format!("no response within {after:?}");
            ExportOutcome::retryable(Problem::new("timeout", text))
        }
        Err(error) => ExportOutcome::Rejected(error.to_string().into()),
    }
}
