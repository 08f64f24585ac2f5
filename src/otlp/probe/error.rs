use std::fmt;

use super::kind;
use crate::otlp::delivery::Delivery;

/// The error of a probe: what is wrong on the way to the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeError {
    pub(super) kind: ProbeErrorKind,
    pub(super) detail: String,
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

// === impl ProbeError ===

impl ProbeError {
    /// Returns what kind of thing is wrong.
    #[must_use]
    pub const fn kind(&self) -> ProbeErrorKind {
        self.kind
    }

    pub(super) fn config(detail: String) -> Self {
        let kind = ProbeErrorKind::Config;
        Self { kind, detail }
    }

    pub(super) fn judge(endpoint: &str, delivery: Delivery) -> Result<(), Self> {
        let detail = match delivery {
            Delivery::Taken { problem: None, .. } => return Ok(()),
            Delivery::Taken {
                problem: Some(problem),
                ..
            }
            | Delivery::Refused { problem }
            | Delivery::TryAgain { problem, .. } => problem,
        };
        let kind = kind::of(endpoint, &detail);
        Err(Self { kind, detail })
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
                "check scheme, protocol and port: HTTP is on 4318 as a rule, gRPC on 4317"
            }
            ProbeErrorKind::Timeout => "check that the receiver answers at all",
            ProbeErrorKind::Other => "see what the receiver says",
        };
        write!(f, "{}; {hint}", self.detail)
    }
}

impl std::error::Error for ProbeError {}
