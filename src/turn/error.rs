use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use super::failure;
use crate::{
    error::foreign_class,
    event::{Classification, ErrorClass},
};

/// The reason why a turn did not complete.
///
/// ```
/// use codex_telemetry::{
///     ErrorClass,
///     turn::{TurnError, TurnRequest, TurnService},
/// };
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let turns = TurnService::builder().codex("/no/such/codex").build();
/// let error = turns.oneshot(TurnRequest::new("Say hi")).await.unwrap_err();
/// assert!(matches!(error, TurnError::CodexNotFound { .. }));
/// assert_eq!(error.classification().class, ErrorClass::Spawn);
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TurnError {
    /// The Codex CLI was not found.
    #[error(
        "Codex CLI not found (searched {searched}): install it (npm install -g @openai/codex), or set \
         CODEX_PATH to the binary"
    )]
    CodexNotFound {
        /// Where the service searched.
        searched: String,
    },
    /// The working directory does not exist or is not a directory.
    #[error("invalid working directory {}: create it, or choose another one", path.display())]
    WorkingDirectory {
        /// The directory of the request.
        path: PathBuf,
    },
    /// The request is invalid, or Codex would misread it.
    #[error("invalid turn request: {reason}")]
    InvalidRequest {
        /// What is invalid, and what is valid instead.
        reason: String,
    },
    /// The process did not start.
    #[error("cannot start {}: check that it is the Codex CLI for this machine", program.display())]
    Spawn {
        /// The binary.
        program: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Codex reported that the turn failed.
    #[error("the turn failed: {}", with_advice(message))]
    Failed {
        /// Codex's own message.
        message: String,
    },
    /// The process exited before the end of the turn.
    #[error(
        "Codex exited ({status}) before the end of the turn{}",
        last_message(message.as_deref(), stderr)
    )]
    Exited {
        /// The exit status.
        status: ExitStatus,
        /// Whether Codex had reported the thread by then.
        thread_started: bool,
        /// The last error that Codex reported.
        message: Option<String>,
        /// The end of standard error.
        stderr: String,
    },
    /// The process closed its output, but neither ended the turn nor exited.
    #[error(
        "Codex closed its output before the end of the turn, did not exit within {after:?}, and was \
         killed"
    )]
    Hung {
        /// How long the service waited for the exit.
        after: Duration,
    },
    /// The service stops: it interrupted the turn, or takes no new ones.
    #[error("the turn was stopped: its service is shutting down")]
    Stopped,
    /// A line of Codex's output is invalid.
    #[error("invalid line {line} in Codex's output: {reason}")]
    Protocol {
        /// The number of the line, from 1.
        line: u64,
        /// What is invalid; never the content of the line.
        reason: String,
    },
    /// Codex wrote more than the output limit within one turn.
    #[error(
        "Codex wrote more than {limit} bytes within the turn: raise the output limit, or ask for less"
    )]
    OutputTooLarge {
        /// The limit of the service, in bytes.
        limit: usize,
    },
    /// An operation of the operating system or the runtime failed.
    #[error("{action} failed")]
    Io {
        /// The operation.
        action: &'static str,
        /// The operating system's error.
        source: io::Error,
    },
}

impl TurnError {
    /// Returns the error class, with the text of the error and how long to wait before a retry.
    #[must_use]
    pub fn classification(&self) -> Classification {
        let (class, retry_after) = match self {
            Self::CodexNotFound { .. } | Self::Spawn { .. } => (ErrorClass::Spawn, None),
            Self::WorkingDirectory { .. } => (ErrorClass::Config, None),
            Self::InvalidRequest { .. } => (ErrorClass::InvalidRequest, None),
            Self::Failed { message } => failure::of_message(message),
            Self::Exited {
                status,
                thread_started,
                message,
                stderr,
            } => failure::of_exit(*status, *thread_started, message.as_deref(), stderr),
            Self::Hung { .. } => (ErrorClass::Transport, None),
            Self::Stopped => (ErrorClass::Interrupted, None),
            Self::Protocol { .. } | Self::OutputTooLarge { .. } => (ErrorClass::Protocol, None),
            // A blocking task that panicked or was cancelled is the cause, and has a class of its own.
            Self::Io { source, .. } => {
                let task = source.get_ref().and_then(|inside| foreign_class(inside));
                (task.unwrap_or(ErrorClass::Io), None)
            }
        };
        Classification::of(class, self).with_retry_after(retry_after)
    }
}

/// Returns the last message of a process, as the end of a sentence.
fn last_message(message: Option<&str>, stderr: &str) -> String {
    let message = message
        .map(str::to_owned)
        .or_else(|| failure::cause(stderr));
    message.map_or_else(String::new, |text| format!(": {}", text.trim()))
}

/// Returns Codex's message, with advice unless the message has some.
fn with_advice(message: &str) -> String {
    let text = match message.trim() {
        // Codex passes on the body of a bad request unchanged, and the body may be empty.
        "" => "Codex reported no reason",
        text => text,
    };
    let advice = match failure::of_message(message).0 {
        ErrorClass::Unauthorized => {
            "log in with `codex login`, or give Codex the key that its provider requires"
        }
        ErrorClass::InvalidRequest => "check the model and the other settings of the request",
        ErrorClass::Config | ErrorClass::Protocol => {
            "check the provider's `base_url` in Codex's configuration"
        }
        _ => return text.to_owned(),
    };
    format!("{}; {advice}", text.trim_end_matches('.'))
}
