use std::{
    fmt,
    sync::mpsc,
    thread,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, InstrumentationScope, KeyValue, SpanId, TraceFlags,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use tokio::runtime;

use super::{
    exporter,
    outcome::{ExportOutcome, Problem},
};
use crate::{
    event::id,
    otlp::{
        config::{OtlpConfig, Protocol, Signal, SignalConfig},
        convert::names,
    },
};

/// The name of the span of a probe.
const SPAN: &str = "codex.telemetry.probe";

/// The error of a [`probe`]: why the receiver did not accept the span, and what to check.
///
/// ```
/// use codex_telemetry::otlp::{OtlpConfig, ProbeErrorKind, Signal, probe};
/// use std::time::Duration;
///
/// let config = OtlpConfig::builder().signals([Signal::Logs]).build()?;
/// let error = probe(&config, Duration::from_secs(5)).unwrap_err();
/// assert_eq!(error.kind(), ProbeErrorKind::Off);
/// assert!(error.to_string().contains("set an endpoint, or add traces to the signals"));
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeError {
    kind: ProbeErrorKind,
    detail: String,
}

/// The kind of a [`ProbeError`].
///
/// ```
/// use codex_telemetry::otlp::ProbeErrorKind;
///
/// /// Whether a start script should wait and probe again.
/// fn may_pass(kind: ProbeErrorKind) -> bool {
///     matches!(kind, ProbeErrorKind::Dns | ProbeErrorKind::Refused | ProbeErrorKind::Timeout)
/// }
///
/// assert!(may_pass(ProbeErrorKind::Refused));
/// assert!(!may_pass(ProbeErrorKind::Unauthorized));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProbeErrorKind {
    /// Traces are off.
    Off,
    /// The exporter could not be built: a file or a setting is invalid.
    Config,
    /// The host name could not be resolved.
    Dns,
    /// The connection was refused.
    Refused,
    /// The TLS handshake failed.
    Tls,
    /// The receiver rejected the credentials.
    Unauthorized,
    /// The receiver does not know the path or the method.
    NotFound,
    /// The receiver uses another protocol.
    WrongProtocol,
    /// The receiver did not respond in time.
    Timeout,
    /// The receiver rejected the span for another reason, or the connection broke.
    Other,
}

/// Exports one test span to the endpoint of traces, and returns whether the receiver accepted it.
///
/// Blocks the thread for at most `timeout`. It needs no sink and no runtime.
///
/// # Errors
///
/// Returns a [`ProbeError`] if the span was not accepted.
///
/// ```
/// use codex_telemetry::otlp::{OtlpConfig, ProbeErrorKind, probe};
/// use std::time::Duration;
///
/// // Usually, nothing listens on port 9.
/// let config = OtlpConfig::builder().endpoint("http://127.0.0.1:9").build()?;
/// let error = probe(&config, Duration::from_secs(5)).unwrap_err();
/// assert_eq!(error.kind(), ProbeErrorKind::Refused);
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
pub fn probe(config: &OtlpConfig, timeout: Duration) -> Result<(), ProbeError> {
    let Some(traces) = config.signal(Signal::Traces).cloned() else {
        return Err(ProbeError {
            kind: ProbeErrorKind::Off,
            detail: "the configuration does not export traces".to_owned(),
        });
    };
    let endpoint = traces.endpoint.to_string();
    let config = config.clone().into_instance();
    let (sender, result) = mpsc::channel();
    // A thread and a runtime of its own, as for the sink: the caller may have no runtime.
    thread::Builder::new()
        .name("codex-telemetry-probe".to_owned())
        .spawn(move || {
            // Instruments of the application record nothing about this thread.
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            // The caller may have stopped waiting.
            let _ = sender.send(export_span(&traces, &config));
        })
        .map_err(|error| ProbeError::config(&error))?;
    result.recv_timeout(timeout).unwrap_or_else(|_| {
        Err(ProbeError {
            kind: ProbeErrorKind::Timeout,
            detail: format!("{endpoint}: no response within {timeout:?}"),
        })
    })
}

fn export_span(traces: &SignalConfig, config: &OtlpConfig) -> Result<(), ProbeError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ProbeError::config(&error))?;
    let outcome = runtime.block_on(async {
        let mut exporter = exporter::spans(traces, config);
        match &mut exporter.inner {
            Ok(exporter) => exporter.set_resource(&config.resource()),
            Err(problem) => return Err(ProbeError::config(problem)),
        }
        let spans = vec![span()];
        let export = async |exporter: &SpanExporter| exporter.export(spans).await;
        Ok(exporter.export(export).await)
    });
    // Does not wait for blocking tasks of the exporter, such as name resolution.
    runtime.shutdown_background();
    match outcome? {
        ExportOutcome::Accepted { problem: None, .. } => Ok(()),
        ExportOutcome::Accepted {
            problem: Some(detail),
            ..
        } => Err(ProbeError {
            kind: ProbeErrorKind::Other,
            detail,
        }),
        ExportOutcome::Rejected(problem)
        | ExportOutcome::TooLarge(problem)
        | ExportOutcome::Retryable { problem, .. } => Err(ProbeError {
            kind: kind_of(&problem, traces),
            detail: problem.text,
        }),
    }
}

fn span() -> SpanData {
    let now = SystemTime::now();
    SpanData {
        span_context: SpanContext::new(
            id::trace_id(),
            id::span_id(),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: SPAN.into(),
        start_time: now,
        end_time: now,
        attributes: vec![KeyValue::new(names::OPERATION, SPAN)],
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder(names::SCOPE).build(),
    }
}

fn kind_of(problem: &Problem, traces: &SignalConfig) -> ProbeErrorKind {
    let has = |parts: &[&str]| {
        let text = problem.text.to_ascii_lowercase();
        parts.iter().any(|part| text.contains(part))
    };
    match &*problem.error_type {
        "401" | "403" | "UNAUTHENTICATED" | "PERMISSION_DENIED" => ProbeErrorKind::Unauthorized,
        "404" | "405" | "UNIMPLEMENTED" => ProbeErrorKind::NotFound,
        "415" | "garbled_response" | "protocol_error" => ProbeErrorKind::WrongProtocol,
        "timeout" | "DEADLINE_EXCEEDED" => ProbeErrorKind::Timeout,
        "missing_headers" => ProbeErrorKind::Config,
        "connection_refused" => ProbeErrorKind::Refused,
        "dns_error" => ProbeErrorKind::Dns,
        "tls_error" => ProbeErrorKind::Tls,
        // The answer of servers to plain HTTP on a TLS port.
        "400" if has(&["https port", "https server"]) => ProbeErrorKind::Tls,
        // Over gRPC, receivers close a new connection without an error if they require a client
        // certificate, or use HTTP/1 or TLS.
        "connection_error"
            if traces.protocol == Protocol::Grpc
                && has(&["broken pipe", "connection reset", "connection closed"]) =>
        {
            match traces.endpoint.is_https() {
                true => ProbeErrorKind::Tls,
                false => ProbeErrorKind::WrongProtocol,
            }
        }
        _ => ProbeErrorKind::Other,
    }
}

// === impl ProbeError ===

impl ProbeError {
    /// Returns the kind of the error.
    #[must_use]
    pub const fn kind(&self) -> ProbeErrorKind {
        self.kind
    }

    fn config(error: &impl fmt::Display) -> Self {
        Self {
            kind: ProbeErrorKind::Config,
            detail: error.to_string(),
        }
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = match self.kind {
            ProbeErrorKind::Off => "set an endpoint, or add traces to the signals",
            ProbeErrorKind::Config => "correct the named setting or file",
            ProbeErrorKind::Dns => "check the host name",
            ProbeErrorKind::Refused => "check the port, and that the receiver is running",
            ProbeErrorKind::Tls => "check the scheme, the certificates and their names",
            ProbeErrorKind::Unauthorized => "check the headers with the credentials",
            ProbeErrorKind::NotFound => "check the path, and that the receiver accepts traces",
            ProbeErrorKind::WrongProtocol => {
                "check scheme, protocol and port: usually 4318 for HTTP and 4317 for gRPC"
            }
            ProbeErrorKind::Timeout => "check that the receiver responds",
            ProbeErrorKind::Other => "check the receiver's message and log",
        };
        write!(f, "{}; {hint}", self.detail)
    }
}

impl std::error::Error for ProbeError {}
