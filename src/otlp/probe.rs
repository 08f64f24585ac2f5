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
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanLinks},
};

use super::{config::OtlpConfig, delivery::Delivery, exporter, names};
use crate::event::id;

/// The name of the span that a probe sends.
const SPAN: &str = "codex.telemetry.probe";

/// The error of a probe: what is wrong on the way to the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeError {
    kind: ProbeErrorKind,
    detail: String,
}

/// The kinds of things that are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProbeErrorKind {
    /// Traces are off, so there is nothing to probe.
    Off,
    /// The exporter could not be started: a file or a setting is wrong.
    Config,
    /// The receiver's name is not known.
    Dns,
    /// Nothing listens there.
    Refused,
    /// The two could not agree on TLS, or do not trust each other.
    Tls,
    /// The receiver does not accept the credentials.
    Unauthorized,
    /// The receiver does not know the path or the method.
    NotFound,
    /// What listens there speaks something else.
    WrongProtocol,
    /// The receiver did not answer in time.
    Timeout,
    /// The receiver refused the span for another reason, or the connection broke.
    Other,
}

/// Sends one span by the way that `config` gives to traces, and waits for what becomes of it.
///
/// Blocks the thread for as long as `within`. It needs no sink and disturbs none.
///
/// # Errors
///
/// [`ProbeError`] says what is wrong, and where.
///
/// ```
/// use codex_telemetry::otlp::{OtlpConfig, ProbeErrorKind, probe};
/// use std::time::Duration;
///
/// // Nothing listens on port 9 as a rule.
/// let config = OtlpConfig::builder().endpoint("http://127.0.0.1:9").build()?;
/// let error = probe(&config, Duration::from_secs(5)).unwrap_err();
/// assert_eq!(error.kind(), ProbeErrorKind::Refused);
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
pub fn probe(config: &OtlpConfig, within: Duration) -> Result<(), ProbeError> {
    let Some(traces) = config.traces().cloned() else {
        return Err(ProbeError {
            kind: ProbeErrorKind::Off,
            detail: "traces are not exported by this configuration".to_owned(),
        });
    };
    let resource = Resource::builder_empty()
        .with_attributes(config.resource_attributes().to_vec())
        .build();
    let endpoint = traces.endpoint().to_string();
    let (answer, told) = mpsc::channel();
    // A thread and a runtime of its own, as for the export: the caller may have either or none.
    let spawned = thread::Builder::new()
        .name("codex-telemetry-probe".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let told = match runtime {
                Err(error) => Err(ProbeError::config(error.to_string())),
                Ok(runtime) => {
                    let sent = runtime.block_on(async {
                        let mut exporter = exporter::spans(&traces).map_err(ProbeError::config)?;
                        exporter.exporter.set_resource(&resource);
                        let export = exporter.exporter.export(vec![span()]);
                        ProbeError::judge(exporter.run(export).await)
                    });
                    runtime.shutdown_background();
                    sent
                }
            };
            // Whoever asked may have stopped waiting.
            let _ = answer.send(told);
        });
    if let Err(error) = spawned {
        return Err(ProbeError::config(error.to_string()));
    }
    told.recv_timeout(within).unwrap_or_else(|_| {
        Err(ProbeError {
            kind: ProbeErrorKind::Timeout,
            detail: format!("{endpoint}: no answer within {within:?}"),
        })
    })
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

// === impl ProbeError ===

impl ProbeError {
    /// Returns what kind of thing is wrong.
    #[must_use]
    pub const fn kind(&self) -> ProbeErrorKind {
        self.kind
    }

    fn config(detail: String) -> Self {
        let kind = ProbeErrorKind::Config;
        Self { kind, detail }
    }

    fn judge(delivery: Delivery) -> Result<(), Self> {
        let detail = match delivery {
            Delivery::Taken { problem: None, .. } => return Ok(()),
            Delivery::Taken {
                problem: Some(problem),
                ..
            }
            | Delivery::Refused { problem }
            | Delivery::TryAgain { problem, .. } => problem,
        };
        let kind = kind_of(&detail);
        Err(Self { kind, detail })
    }
}

/// The kind of a problem by its text: the libraries in between do not hand on their errors' types.
fn kind_of(problem: &str) -> ProbeErrorKind {
    use ProbeErrorKind as K;
    let text = problem.to_ascii_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if says(&["dns error", "failed to lookup", "name or service not known"]) {
        K::Dns
    } else if says(&["connection refused"]) {
        K::Refused
    } else if says(&[
        "certificate",
        "tls",
        "fatal alert",
        "unknownissuer",
        "corrupt message",
    ]) {
        K::Tls
    } else if says(&[
        "answered 401",
        "answered 403",
        "unauthenticated",
        "permissiondenied",
    ]) {
        K::Unauthorized
    } else if says(&["answered 404", "answered 405", "unimplemented"]) {
        K::NotFound
    } else if says(&[
        "answered 415",
        "not otlp",
        "invalid http version",
        "http2 error",
        "h2 protocol error",
        "frame with invalid size",
        "invalid compression flag",
        "compression-encoding",
    ]) {
        K::WrongProtocol
    } else if says(&[
        "timed out",
        "no answer within",
        "timeout expired",
        "deadlineexceeded",
    ]) {
        K::Timeout
    } else {
        K::Other
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = match self.kind {
            ProbeErrorKind::Off => "set an endpoint, or name traces among the signals",
            ProbeErrorKind::Config => "mend the setting or the file that is named",
            ProbeErrorKind::Dns => "check the host's name",
            ProbeErrorKind::Refused => "check the port, and that the receiver runs",
            ProbeErrorKind::Tls => "check the scheme, the certificates and the names in them",
            ProbeErrorKind::Unauthorized => "check the headers that carry the credentials",
            ProbeErrorKind::NotFound => "check the path, and whether it takes traces",
            ProbeErrorKind::WrongProtocol => {
                "check protocol and port: HTTP is on 4318 as a rule, gRPC on 4317"
            }
            ProbeErrorKind::Timeout => "check that the receiver answers at all",
            ProbeErrorKind::Other => "see what the receiver says",
        };
        write!(f, "{}; {hint}", self.detail)
    }
}

impl std::error::Error for ProbeError {}
