use std::{fmt, time::Duration};

/// A small, stable, low-cardinality name for a failure mode.
///
/// It is the value of `error.type` on spans and metrics.
///
/// ```
/// use codex_telemetry::ErrorClass;
///
/// assert_eq!(ErrorClass::ContextWindow.as_str(), "context_window");
/// assert_eq!(ErrorClass::Custom("no_budget").to_string(), "no_budget");
/// assert!(!ErrorClass::Custom("no_budget").is_retryable());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// A connection failed or was cut, or the process at the other end was lost.
    Transport,
    /// A deadline passed.
    Timeout,
    /// The model's provider asked to slow down.
    RateLimit,
    /// The account's plan is used up.
    UsageLimit,
    /// The credentials are missing or were refused.
    Unauthorized,
    /// The conversation no longer fits the model's context window.
    ContextWindow,
    /// The request was refused as malformed or unsupported.
    InvalidRequest,
    /// The provider failed.
    ServerError,
    /// This or another service sheds load.
    Overloaded,
    /// An approver said no, or did not answer in time.
    ApprovalDenied,
    /// A policy forbids the request.
    PolicyDenied,
    /// The sandbox forbade an action.
    SandboxDenied,
    /// No tool has the name that was asked for.
    ToolNotFound,
    /// A tool's arguments do not fit it.
    InvalidArguments,
    /// A tool ran and failed.
    ToolFailed,
    /// The configuration is wrong.
    Config,
    /// A process could not be started.
    Spawn,
    /// The other side said something that the protocol does not allow.
    Protocol,
    /// A response ended before it was whole.
    Incomplete,
    /// The work was interrupted from outside.
    Interrupted,
    /// The caller dropped the call.
    Cancelled,
    /// The code panicked.
    Panic,
    /// The operating system refused a file, a pipe or another resource.
    Io,
    /// None of the above is known to be true.
    Other,
    /// A class of the application's own; keep the set of names small.
    Custom(&'static str),
}

/// What a classifier found out about one error.
///
/// Any [`ErrorClass`] is one, without a message.
///
/// ```
/// use codex_telemetry::{Classification, ErrorClass};
/// use std::{io, time::Duration};
///
/// let error = io::Error::other("the disk is full");
/// let told = Classification::of(ErrorClass::Io, &error);
/// assert_eq!(told.message.as_deref(), Some("the disk is full"));
///
/// let told = Classification::from(ErrorClass::Overloaded)
///     .with_retry_after(Some(Duration::from_secs(3)));
/// assert_eq!(told.message, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Classification {
    /// The class.
    pub class: ErrorClass,
    /// The error's text, when the classifier could render it; an event keeps its first 4 KiB.
    pub message: Option<String>,
    /// How long to wait before a retry, when the failing side said so.
    pub retry_after: Option<Duration>,
}

// === impl ErrorClass ===

impl ErrorClass {
    /// Every class that the crate itself gives, in the order of their documentation.
    pub const ALL: &'static [Self] = &[
        Self::Transport,
        Self::Timeout,
        Self::RateLimit,
        Self::UsageLimit,
        Self::Unauthorized,
        Self::ContextWindow,
        Self::InvalidRequest,
        Self::ServerError,
        Self::Overloaded,
        Self::ApprovalDenied,
        Self::PolicyDenied,
        Self::SandboxDenied,
        Self::ToolNotFound,
        Self::InvalidArguments,
        Self::ToolFailed,
        Self::Config,
        Self::Spawn,
        Self::Protocol,
        Self::Incomplete,
        Self::Interrupted,
        Self::Cancelled,
        Self::Panic,
        Self::Io,
        Self::Other,
    ];

    /// Returns the name as it stands in events and on metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::Timeout => "timeout",
            Self::RateLimit => "rate_limit",
            Self::UsageLimit => "usage_limit",
            Self::Unauthorized => "unauthorized",
            Self::ContextWindow => "context_window",
            Self::InvalidRequest => "invalid_request",
            Self::ServerError => "server_error",
            Self::Overloaded => "overloaded",
            Self::ApprovalDenied => "approval_denied",
            Self::PolicyDenied => "policy_denied",
            Self::SandboxDenied => "sandbox_denied",
            Self::ToolNotFound => "tool_not_found",
            Self::InvalidArguments => "invalid_arguments",
            Self::ToolFailed => "tool_failed",
            Self::Config => "config",
            Self::Spawn => "spawn",
            Self::Protocol => "protocol",
            Self::Incomplete => "incomplete",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
            Self::Panic => "panic",
            Self::Io => "io",
            Self::Other => "other",
            Self::Custom(name) => name,
        }
    }

    /// Returns whether the same call may well succeed when it is made again.
    ///
    /// ```
    /// use codex_telemetry::ErrorClass;
    ///
    /// assert!(ErrorClass::RateLimit.is_retryable());
    /// assert!(!ErrorClass::UsageLimit.is_retryable());
    /// ```
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Transport
                | Self::Timeout
                | Self::RateLimit
                | Self::ServerError
                | Self::Overloaded
        )
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Classification ===

impl Classification {
    /// Returns a classification with the text of `error` and of its causes.
    pub fn of(class: ErrorClass, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::from(class).with_message(error_text(error))
    }

    /// Sets the error's text.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Sets how long to wait before a retry.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }
}

/// The text of an error and of what it came from, in one line.
pub(crate) fn error_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        // Errors that already print their cause would say it twice.
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}

impl From<ErrorClass> for Classification {
    fn from(class: ErrorClass) -> Self {
        Self {
            class,
            message: None,
            retry_after: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_the_error_prints_itself_is_not_said_twice() {
        let io = std::io::Error::other("disk on fire");
        let outer = std::io::Error::other(io);
        let told = Classification::of(ErrorClass::Io, &outer);
        assert_eq!(told.message.as_deref(), Some("disk on fire"));
    }

    #[test]
    fn names_are_snake_case_and_unique() {
        let names: std::collections::HashSet<_> =
            ErrorClass::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(names.len(), ErrorClass::ALL.len());
        for name in names {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        }
    }
}
