use std::{error::Error, fmt, io, sync::Arc, time::Duration};

use crate::{
    error::{BoxError, chain, foreign_class},
    event::{Classification, ErrorClass},
};

/// How many characters of a name an error prints: a model may invent a name of any length.
const NAME_SHOWN: usize = 64;
/// How many known names the error of an unknown one prints.
const KNOWN_SHOWN: usize = 8;

/// Why a tool call gave no output.
///
/// The crate's own words never repeat the arguments; what a tool, an approver or a panic says of itself
/// is passed on as it is.
///
/// ```
/// use codex_telemetry::{
///     ErrorClass,
///     tool::{ToolCall, ToolError, ToolService},
/// };
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let tools = ToolService::builder().build();
/// let error = tools.oneshot(ToolCall::new("sum", [1, 2].into())).await.unwrap_err();
/// assert!(matches!(error, ToolError::NotFound { .. }));
/// assert_eq!(error.classification().class, ErrorClass::ToolNotFound);
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// No tool has the name.
    #[error("no tool is named {}: {}", Name(.name), Known(.known))]
    NotFound {
        /// The name that was asked for.
        name: Arc<str>,
        /// The names that are registered, sorted.
        known: Arc<[Arc<str>]>,
    },
    /// The tool is registered, but disabled.
    #[error("tool {} is disabled: use another one, or enable it with `ToolService::set_enabled`", Name(.tool))]
    Disabled {
        /// The tool.
        tool: Arc<str>,
    },
    /// The arguments are none that the tool takes; it did not run.
    #[error("the arguments of tool {} do not fit it: {reason}", Name(.tool))]
    InvalidArguments {
        /// The tool.
        tool: Arc<str>,
        /// Which part does not fit, and what would.
        reason: String,
    },
    /// An approver said no; the tool did not run.
    #[error("tool {} did not run, its approver denied it: {reason}; do without it, or have it allowed", Name(.tool))]
    Denied {
        /// The tool.
        tool: Arc<str>,
        /// The approver's reason.
        reason: String,
    },
    /// No approver answered in time; the tool did not run.
    #[error("tool {} did not run, no approver answered within {after:?}: ask again, or allow more time", Name(.tool))]
    ApprovalTimeout {
        /// The tool.
        tool: Arc<str>,
        /// The deadline.
        after: Duration,
    },
    /// The approver failed, so that nobody allowed the tool; it did not run.
    #[error("tool {} did not run, its approver failed: ask again once the approver works", Name(.tool))]
    ApprovalFailed {
        /// The tool.
        tool: Arc<str>,
        /// How the approver failed.
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
    /// The tool panicked, which is a defect in it.
    #[error("tool {} panicked, mend it: {message}", Name(.tool))]
    Panicked {
        /// The tool.
        tool: Arc<str>,
        /// The text of the panic, as far as it had one.
        message: String,
    },
}

// === impl ToolError ===

impl ToolError {
    /// Returns the failure mode.
    ///
    /// The error that [`Failed`](Self::Failed) wraps may know better than `tool_failed`: a `ToolError`
    /// further down gives its own class, and so do errors of tower and tokio, such as a timeout. An io
    /// error does not: it is the tool that failed.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } => ErrorClass::ToolNotFound,
            Self::Disabled { .. } => ErrorClass::PolicyDenied,
            Self::InvalidArguments { .. } => ErrorClass::InvalidArguments,
            // Whatever kept an approver from saying yes, the tool did not run for want of it.
            Self::Denied { .. } | Self::ApprovalTimeout { .. } | Self::ApprovalFailed { .. } => {
                ErrorClass::ApprovalDenied
            }
            Self::Failed { source, .. } => known_class(&**source).unwrap_or(ErrorClass::ToolFailed),
            Self::Panicked { .. } => ErrorClass::Panic,
        }
    }

    /// Returns the failure mode with the text of the error and of its causes: a
    /// [`Classify`](crate::Classify) of this error.
    #[must_use]
    pub fn classification(&self) -> Classification {
        Classification::of(self.class(), self)
    }

    /// The error of `tool` as its service returned it; one that is a `ToolError` already stays as it is.
    pub(super) fn from_tool(tool: &Arc<str>, error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => *error,
            Err(source) => Self::Failed {
                tool: Arc::clone(tool),
                source,
            },
        }
    }

    pub(super) fn panicked(tool: &Arc<str>, message: String) -> Self {
        Self::Panicked {
            tool: Arc::clone(tool),
            message,
        }
    }
}

/// The class of the first error in the chain that has one of its own.
fn known_class(error: &(dyn Error + 'static)) -> Option<ErrorClass> {
    chain(error).find_map(|error| match error.downcast_ref::<ToolError>() {
        Some(error) => Some(error.class()),
        // A file that a tool could not read is a tool that failed.
        None if error.is::<io::Error>() => None,
        None => foreign_class(error),
    })
}

/// Prints the name of a tool in backquotes, escaped and not too long.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(NAME_SHOWN).map(|(at, _)| at);
        match end {
            None => write!(f, "`{}`", self.0.escape_debug()),
            Some(end) => write!(f, "`{}…`", self.0[..end].escape_debug()),
        }
    }
}

/// Prints what names there are instead.
struct Known<'a>(&'a [Arc<str>]);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("register it, none is registered yet");
        }
        f.write_str("use one of ")?;
        for (at, name) in self.0.iter().take(KNOWN_SHOWN).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{}", Name(name))?;
        }
        match self.0.len().saturating_sub(KNOWN_SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
