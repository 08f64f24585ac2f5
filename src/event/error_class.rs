use std::{error::Error, time::Duration};

use super::{named_enum::named_enum, text::error_text};

named_enum! {
    /// The class of an error: a stable name out of a small set.
    ///
    /// It is the value of the `error.type` attribute on spans and metrics.
    ///
    /// ```
    /// use codex_telemetry::ErrorClass;
    ///
    /// assert_eq!(ErrorClass::ContextWindow.as_str(), "context_window");
    /// assert_eq!(ErrorClass::Custom("no_budget").to_string(), "no_budget");
    /// assert!(!ErrorClass::Custom("no_budget").is_retryable());
    ///
    /// // What an alert need not wake anybody for.
    /// let passing = ErrorClass::ALL.iter().filter(|class| class.is_retryable());
    /// let passing: Vec<_> = passing.map(|class| class.as_str()).collect();
    /// assert_eq!(passing, ["transport", "timeout", "rate_limit", "server_error", "overloaded"]);
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum ErrorClass {
        /// A connection failed or was lost, or the process at its other end died.
        Transport = "transport",
        /// A deadline passed.
        Timeout = "timeout",
        /// The model's provider asked to slow down.
        RateLimit = "rate_limit",
        /// The account's plan is used up.
        UsageLimit = "usage_limit",
        /// The credentials are missing or invalid.
        Unauthorized = "unauthorized",
        /// The conversation no longer fits the model's context window.
        ContextWindow = "context_window",
        /// The provider rejected the request as malformed or unsupported.
        InvalidRequest = "invalid_request",
        /// The provider failed.
        ServerError = "server_error",
        /// A service sheds load.
        Overloaded = "overloaded",
        /// An approver declined the request, failed, or did not answer in time.
        ApprovalDenied = "approval_denied",
        /// A policy forbids the request.
        PolicyDenied = "policy_denied",
        /// The sandbox forbids an action.
        SandboxDenied = "sandbox_denied",
        /// The tool is unknown.
        ToolNotFound = "tool_not_found",
        /// The arguments of a tool are invalid.
        InvalidArguments = "invalid_arguments",
        /// A tool ran and failed.
        ToolFailed = "tool_failed",
        /// The configuration is invalid.
        Config = "config",
        /// A process could not be started.
        Spawn = "spawn",
        /// A message violates the protocol.
        Protocol = "protocol",
        /// A response ended before it was complete.
        Incomplete = "incomplete",
        /// The work was interrupted from outside.
        Interrupted = "interrupted",
        /// The caller dropped the call.
        Cancelled = "cancelled",
        /// The code panicked.
        Panic = "panic",
        /// An operation on a file, a pipe or another resource of the system failed.
        Io = "io",
        /// The class of the error is unknown.
        Other = "other",
        ;
        /// A class of the application. Keep the set of names small.
        Custom,
    }
}

/// What a classifier returns for an error: its class, its text and when to retry.
///
/// An [`ErrorClass`] converts into a classification without a text.
///
/// ```
/// use codex_telemetry::{Classification, ErrorClass};
/// use std::{io, time::Duration};
///
/// let error = io::Error::other("the disk is full");
/// let classification = Classification::of(ErrorClass::Io, &error);
/// assert_eq!(classification.message.as_deref(), Some("the disk is full"));
///
/// // The text of this error has an account in it, which no sink may see.
/// let classification = Classification::from(ErrorClass::Overloaded)
///     .with_message("the shop is busy")
///     .with_retry_after(Some(Duration::from_secs(3)));
/// assert!(classification.class.is_retryable());
/// assert_eq!(classification.retry_after, Some(Duration::from_secs(3)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Classification {
    /// The class.
    pub class: ErrorClass,
    /// The error's text. An event keeps its first 4 KiB.
    pub message: Option<String>,
    /// How long to wait before a retry, if the error says so.
    pub retry_after: Option<Duration>,
}

// === impl ErrorClass ===

impl ErrorClass {
    /// Returns whether the same call may succeed when it is retried.
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

// === impl Classification ===

impl Classification {
    /// Returns a classification with the text of `error` and of its sources.
    pub fn of(class: ErrorClass, error: &(dyn Error + 'static)) -> Self {
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
    fn names_are_snake_case_and_unique() {
        let names: std::collections::HashSet<_> =
            ErrorClass::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(names.len(), ErrorClass::ALL.len());
        for name in names {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        }
    }
}
