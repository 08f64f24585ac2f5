use std::{
    fmt,
    sync::mpsc,
    thread,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks},
};
use tokio::runtime;

use super::{
    exporter,
    outcome::{ExportOutcome, Problem},
};
use crate::{
    event::id,
    otlp::{
        config::{OtlpConfig, Signal, SignalConfig},
        convert::names,
    },
};

/// The name of the span of a probe.
const SPAN: &str = "codex.telemetry.probe";

/// Parts of gRPC errors and of timeouts, in lower case.
const RESPONSE_ERRORS: &[(&str, ProbeErrorKind)] = &[
    ("code: unauthenticated", ProbeErrorKind::Unauthorized),
    ("code: permissiondenied", ProbeErrorKind::Unauthorized),
    ("code: unimplemented", ProbeErrorKind::NotFound),
    ("failed to decode protobuf", ProbeErrorKind::WrongProtocol),
    ("invalid compression flag", ProbeErrorKind::WrongProtocol),
    ("grpc-status header missing", ProbeErrorKind::WrongProtocol),
    ("timed out", ProbeErrorKind::Timeout),
    ("no response within", ProbeErrorKind::Timeout),
    ("timeout expired", ProbeErrorKind::Timeout),
    ("code: deadlineexceeded", ProbeErrorKind::Timeout),
];

/// Parts of connection errors, in lower case.
const CONNECTION_ERRORS: &[(&str, ProbeErrorKind)] = &[
    ("dns error", ProbeErrorKind::Dns),
    ("failed to lookup", ProbeErrorKind::Dns),
    ("name or service not known", ProbeErrorKind::Dns),
    ("connection refused", ProbeErrorKind::Refused),
    ("certificate", ProbeErrorKind::Tls),
    ("tls", ProbeErrorKind::Tls),
    ("fatal alert", ProbeErrorKind::Tls),
    ("unknownissuer", ProbeErrorKind::Tls),
    ("corrupt message", ProbeErrorKind::Tls),
    ("invalid http version", ProbeErrorKind::WrongProtocol),
    (
        "unexpected message from connection",
        ProbeErrorKind::WrongProtocol,
    ),
    ("http2 error", ProbeErrorKind::WrongProtocol),
    ("h2 protocol error", ProbeErrorKind::WrongProtocol),
    ("frame with invalid size", ProbeErrorKind::WrongProtocol),
];

/// The error of a [`probe`]: why the receiver did not accept the span, and what to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeError {
    kind: ProbeErrorKind,
    detail: String,
}

/// The kind of a [`ProbeError`].
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
    let resource = config.clone().into_instance().resource();
    let (sender, result) = mpsc::channel();
    // A thread and a runtime of its own, as for the sink: the caller may have no runtime.
    thread::Builder::new()
        .name("codex-telemetry-probe".to_owned())
        .spawn(move || {
            // The caller may have stopped waiting.
            let _ = sender.send(export_span(&traces, &resource));
        })
        .map_err(|error| ProbeError::config(&error))?;
    result.recv_timeout(timeout).unwrap_or_else(|_| {
        Err(ProbeError {
            kind: ProbeErrorKind::Timeout,
            detail: format!("{endpoint}: no response within {timeout:?}"),
        })
    })
}

fn export_span(traces: &SignalConfig, resource: &Resource) -> Result<(), ProbeError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ProbeError::config(&error))?;
    let outcome = runtime.block_on(async {
        let mut exporter = exporter::spans(traces);
        match &mut exporter.inner {
            Ok(exporter) => exporter.set_resource(resource),
            Err(problem) => return Err(ProbeError::config(problem)),
        }
        let spans = vec![span()];
        let export = async |exporter: &SpanExporter| exporter.export(spans).await;
        Ok(exporter.export(export).await)
    });
    // Does not wait for blocking tasks of the exporter, such as name resolution.
    runtime.shutdown_background();
    let detail = match outcome? {
        ExportOutcome::Accepted { problem: None, .. } => return Ok(()),
        ExportOutcome::Accepted {
            problem: Some(problem),
            ..
        }
        | ExportOutcome::Rejected(Problem { text: problem, .. })
        | ExportOutcome::TooLarge(Problem { text: problem, .. })
        | ExportOutcome::Retryable {
            problem: Problem { text: problem, .. },
            ..
        } => problem,
    };
    let kind = kind_of(&traces.endpoint.to_string(), &detail);
    Err(ProbeError { kind, detail })
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

/// Returns the kind of a problem by its text: the exporters do not return the types of their errors.
fn kind_of(endpoint: &str, problem: &str) -> ProbeErrorKind {
    // The name of the endpoint may contain anything.
    let problem = problem.strip_prefix(endpoint).unwrap_or(problem);
    let text = problem.trim_start_matches(": ").to_ascii_lowercase();
    if let Some(response) = text.strip_prefix("the receiver responded with status ") {
        return kind_of_response(response);
    }
    match kind_of_error(&text) {
        // Over gRPC, receivers close a new connection without an error if they require a client
        // certificate, or use HTTP/1 or TLS.
        ProbeErrorKind::Other if text.contains("transport error") => {
            let closed = ["broken pipe", "connection reset", "connection closed"];
            match closed.iter().any(|part| text.contains(part)) {
                true if endpoint.starts_with("https:") => ProbeErrorKind::Tls,
                true => ProbeErrorKind::WrongProtocol,
                false => ProbeErrorKind::Other,
            }
        }
        kind => kind,
    }
}

/// Returns the kind of a response by its status. The message after it is the receiver's, and may contain
/// anything.
fn kind_of_response(response: &str) -> ProbeErrorKind {
    let (status, message) = response.split_at_checked(3).unwrap_or((response, ""));
    match status {
        "401" | "403" => ProbeErrorKind::Unauthorized,
        "404" | "405" => ProbeErrorKind::NotFound,
        "415" => ProbeErrorKind::WrongProtocol,
        "200" if message.contains("not otlp") => ProbeErrorKind::WrongProtocol,
        // The answer of servers to plain HTTP on a TLS port.
        "400" if message.contains("https port") || message.contains("https server") => {
            ProbeErrorKind::Tls
        }
        _ => ProbeErrorKind::Other,
    }
}

fn kind_of_error(text: &str) -> ProbeErrorKind {
    let find = |table: &[(&str, ProbeErrorKind)]| {
        let found = table.iter().find(|(part, _)| text.contains(part));
        found.map(|(_, kind)| *kind)
    };
    // A gRPC error with another code is the receiver's, unless the connection broke.
    let is_response = text.contains("grpc code: ")
        && !text.contains("transport error")
        && !text.contains("h2 protocol error");
    find(RESPONSE_ERRORS)
        .or_else(|| find(CONNECTION_ERRORS).filter(|_| !is_response))
        .unwrap_or(ProbeErrorKind::Other)
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
