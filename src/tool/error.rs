use std::{error::Error, fmt, io, sync::Arc, time::Duration};

use super::ToolFailure;
use crate::{
    error::{BoxError, chain, foreign_class},
    event::{ErrorClass, truncate},
};

/// The number of characters of a tool's name that an error prints. A model can make up a name of any
/// length.
const MAX_NAME_CHARS: usize = 64;
/// The number of characters of a registered name: that of a namespace, a dot and that of a tool. A model could not use a
/// part of it.
const MAX_KNOWN_NAME_CHARS: usize = 2 * super::validation::MAX_NAME_LEN + 1;
/// The number of registered names that [`ToolError::NotFound`] prints.
const MAX_KNOWN_NAMES: usize = 8;
/// The longest message for a model, in bytes. A reason can quote all of the arguments.
const MAX_MESSAGE_LEN: usize = 32 * 1024;

/// The error of a tool call.
///
/// A downstream crate can build each variant, for instance in a fake tool service.
///
/// # What is recorded
///
/// The text of [`InvalidArguments`](Self::InvalidArguments) can quote the arguments: its reader is
/// the model that wrote them. [`classification`](Self::classification) and
/// [`CodexClassifier`](crate::CodexClassifier) replace it by a fixed message, so that no argument
/// reaches an event, also when the error is a [`source`](std::error::Error::source) of another error, or is
/// wrapped by a `#[error(transparent)]` variant of thiserror. No other text of the crate quotes the
/// arguments. The texts of tools, approvers and panics are passed on unchanged.
///
/// ```
/// use codex_telemetry::{
///     ErrorClass,
///     tool::{ToolCall, ToolError, ToolService},
/// };
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), codex_telemetry::tool::ToolSpecError> {
/// let tools = ToolService::builder().build()?;
/// let error = tools.oneshot(ToolCall::new("sum", [1, 2].into())).await.unwrap_err();
/// assert!(matches!(error, ToolError::NotFound { .. }));
/// assert_eq!(error.class(), ErrorClass::ToolNotFound);
///
/// // An event has the text of the program's own error, and the model has not.
/// let failed = ToolError::Failed { tool: "sum".into(), source: "10.0.0.7 refused".into() };
/// assert_eq!(failed.message_for_model(), "tool `sum` failed: continue without it");
/// assert_eq!(failed.classification().message.as_deref(), Some("tool `sum` failed: 10.0.0.7 refused"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// No tool with this name is registered.
    #[error("unknown tool {}: {}", Name(.name), Known(.known))]
    NotFound {
        /// The name in the call.
        name: Arc<str>,
        /// The registered names, sorted.
        known: Arc<[Arc<str>]>,
    },
    /// The tool is registered but disabled.
    #[error("tool {} is disabled: use another tool, or enable it with `ToolService::set_enabled`", Name(.tool))]
    Disabled {
        /// The tool.
        tool: Arc<str>,
    },
    /// The arguments do not match the tool's parameters; the tool did not run.
    #[error("invalid arguments for tool {}: {source}", Name(.tool))]
    InvalidArguments {
        /// The tool.
        tool: Arc<str>,
        /// The reason, which can quote the arguments.
        // A source, although the text has it: a transparent wrapper hides this error, and not its source.
        source: ArgumentsError,
    },
    /// The approver declined the call; the tool did not run.
    #[error("tool {} was declined by its approver: {reason}; continue without it, or have it accepted", Name(.tool))]
    Denied {
        /// The tool.
        tool: Arc<str>,
        /// The approver's reason.
        reason: String,
    },
    /// The approver did not answer before the deadline; the tool did not run.
    #[error("tool {} was not approved within {after:?}: call it again, or extend the deadline", Name(.tool))]
    ApprovalTimeout {
        /// The tool.
        tool: Arc<str>,
        /// The deadline.
        after: Duration,
    },
    /// The approver failed or panicked; the tool did not run.
    #[error("tool {} was not approved because its approver failed: call it again once the approver works", Name(.tool))]
    ApprovalFailed {
        /// The tool.
        tool: Arc<str>,
        /// The approver's error.
        source: BoxError,
    },
    /// The tool ran and failed.
    #[error("tool {} failed", Name(.tool))]
    Failed {
        /// The tool.
        tool: Arc<str>,
        /// The tool's own error.
        source: BoxError,
    },
    /// The tool did not answer before the deadline of its host, and was dropped.
    #[error("tool {} did not finish within {after:?}: make it faster, or extend the deadline", Name(.tool))]
    TimedOut {
        /// The tool.
        tool: Arc<str>,
        /// The deadline.
        after: Duration,
    },
    /// The tool ran, and its output is larger than its host sends.
    #[error("the output of tool {} is larger than {limit} bytes: return less, or extend the limit", Name(.tool))]
    OutputTooLarge {
        /// The tool.
        tool: Arc<str>,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The tool panicked, which is a bug in the tool.
    #[error("tool {} panicked, fix it: {message}", Name(.tool))]
    Panicked {
        /// The tool.
        tool: Arc<str>,
        /// The panic message, or a placeholder if the panic had none.
        message: String,
    },
}

/// The reason why arguments are invalid: the path of the invalid one, and what was expected.
///
/// Its text can quote the arguments. [`CodexClassifier`](crate::CodexClassifier) does not record it, nor any
/// text of an error that has it as a source.
///
/// A service of `ToolCall` that checks its arguments by itself returns one, as [`tool_fn`](super::tool_fn) does:
///
/// ```
/// use codex_telemetry::{
///     ErrorClass,
///     tool::{ArgumentsError, ToolError},
/// };
///
/// fn check(path: &str) -> Result<(), ToolError> {
///     if path.starts_with("/tmp/") {
///         return Ok(());
///     }
///     let source = ArgumentsError::new(format!("path: {path:?} is not in /tmp"));
///     Err(ToolError::InvalidArguments { tool: "delete".into(), source })
/// }
///
/// let error = check("/etc/shadow").unwrap_err();
/// // The model is told; an event is not.
/// assert!(error.message_for_model().contains("/etc/shadow"));
/// let recorded = error.classification();
/// assert_eq!(recorded.class, ErrorClass::InvalidArguments);
/// assert_eq!(recorded.message.as_deref(), Some("invalid arguments for tool `delete`"));
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ArgumentsError(String);

// === impl ToolError ===

impl ToolError {
    /// Returns the class of the error.
    ///
    /// The class of [`Failed`](Self::Failed) is that of the first `ToolError`, or error of tower or
    /// tokio such as a timeout, in its chain of sources, and `tool_failed` if there is none. An I/O
    /// error in the chain is a `tool_failed` as well.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } => ErrorClass::ToolNotFound,
            Self::Disabled { .. } => ErrorClass::PolicyDenied,
            Self::InvalidArguments { .. } => ErrorClass::InvalidArguments,
            // The tool did not run for lack of an approval, whatever the approver's failure was.
            Self::Denied { .. } | Self::ApprovalTimeout { .. } | Self::ApprovalFailed { .. } => {
                ErrorClass::ApprovalDenied
            }
            Self::Failed { source, .. } => known_class(&**source).unwrap_or(ErrorClass::ToolFailed),
            Self::OutputTooLarge { .. } => ErrorClass::ToolFailed,
            Self::TimedOut { .. } => ErrorClass::Timeout,
            Self::Panicked { .. } => ErrorClass::Panic,
        }
    }

    /// Returns what the model that called the tool is told: what happened and what it can do, without the texts of
    /// errors and panics, which are of the program. More than 32 KiB of it are cut.
    ///
    /// A tool explains its own failure with a [`ToolFailure`](super::ToolFailure) in the chain of sources of its error.
    #[must_use]
    pub fn message_for_model(&self) -> String {
        let mut message = match self {
            // Written for the model, or with its own arguments.
            Self::NotFound { .. } | Self::InvalidArguments { .. } => self.to_string(),
            Self::Disabled { tool } => {
                format!("tool {} is disabled: continue without it", Name(tool))
            }
            Self::Denied { tool, reason } => {
                format!(
                    "tool {} was declined: {reason}; continue without it",
                    Name(tool)
                )
            }
            Self::ApprovalTimeout { tool, .. } => {
                format!(
                    "tool {} was not approved in time: continue without it",
                    Name(tool)
                )
            }
            Self::ApprovalFailed { tool, .. } => {
                format!(
                    "tool {} could not be approved: continue without it",
                    Name(tool)
                )
            }
            Self::Failed { tool, source } => message_of_failure(tool, &**source),
            Self::TimedOut { tool, .. } => late(tool),
            Self::OutputTooLarge { tool, .. } => {
                format!(
                    "the output of tool {} is too large: ask it for less",
                    Name(tool)
                )
            }
            Self::Panicked { tool, .. } => failed(tool),
        };
        truncate(&mut message, MAX_MESSAGE_LEN);
        message
    }

    /// Converts the error of the tool's service. A boxed `ToolError` is returned unchanged.
    pub(super) fn from_tool(tool: &Arc<str>, error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => *error,
            Err(source) => Self::Failed {
                tool: Arc::clone(tool),
                source,
            },
        }
    }
}

// === impl ArgumentsError ===

impl ArgumentsError {
    /// Returns an error with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// Returns the message to record instead of the texts of `error` and its sources, if one of them is an
/// [`ArgumentsError`].
///
/// It replaces the texts of the wrapping errors as well, because those may repeat their source's.
pub(crate) fn redacted_message(error: &(dyn Error + 'static)) -> Option<String> {
    chain(error).find_map(|error| {
        if let Some(ToolError::InvalidArguments { tool, .. }) = error.downcast_ref() {
            Some(format!("invalid arguments for tool {}", Name(tool)))
        } else if error.is::<ArgumentsError>() {
            Some("invalid arguments for a tool".to_owned())
        } else {
            None
        }
    })
}

/// Returns what the model is told of a failure, by what its chain of sources says.
fn message_of_failure(tool: &str, error: &(dyn Error + 'static)) -> String {
    for error in chain(error) {
        if let Some(failure) = error.downcast_ref::<ToolFailure>() {
            return format!("tool {} failed: {failure}", Name(tool));
        }
        if let Some(error) = error.downcast_ref::<ToolError>() {
            return error.message_for_model();
        }
        if let Some(error) = error.downcast_ref::<ArgumentsError>() {
            return format!("invalid arguments for tool {}: {error}", Name(tool));
        }
    }
    match known_class(error) {
        Some(ErrorClass::Timeout) => late(tool),
        Some(ErrorClass::Overloaded) => {
            format!("tool {} is busy: call it again later", Name(tool))
        }
        _ => failed(tool),
    }
}

fn late(tool: &str) -> String {
    format!(
        "tool {} did not finish in time: continue without it, or ask it for less",
        Name(tool)
    )
}

fn failed(tool: &str) -> String {
    format!("tool {} failed: continue without it", Name(tool))
}

/// Returns the class of the first error in the chain that has one of its own.
fn known_class(error: &(dyn Error + 'static)) -> Option<ErrorClass> {
    chain(error).find_map(|error| match error.downcast_ref::<ToolError>() {
        Some(error) => Some(error.class()),
        None if error.is::<ArgumentsError>() => Some(ErrorClass::InvalidArguments),
        // A tool that could not read a file is a tool that failed.
        None if error.is::<io::Error>() => None,
        None => foreign_class(error),
    })
}

/// Displays a tool's name in backquotes, escaped and truncated.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, self.0, MAX_NAME_CHARS)
    }
}

fn write_name(f: &mut fmt::Formatter<'_>, name: &str, max_chars: usize) -> fmt::Result {
    match name.char_indices().nth(max_chars) {
        None => write!(f, "`{}`", name.escape_debug()),
        Some((end, _)) => write!(f, "`{}…`", name[..end].escape_debug()),
    }
}

/// Displays what to use instead of an unknown tool.
struct Known<'a>(&'a [Arc<str>]);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no tool is registered");
        }
        f.write_str("use one of ")?;
        for (index, name) in self.0.iter().take(MAX_KNOWN_NAMES).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            f.write_str(comma)?;
            write_name(f, name, MAX_KNOWN_NAME_CHARS)?;
        }
        match self.0.len().saturating_sub(MAX_KNOWN_NAMES) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
