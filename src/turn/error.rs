use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use super::failure;
use crate::{
    error::foreign_class,
    event::{Classification, ErrorClass},
};

/// Why a turn did not complete.
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
    /// The Codex CLI is nowhere to be found.
    #[error(
        "the Codex CLI was not found ({looked_for}): install it (npm install -g @openai/codex), or \
         name the binary in CODEX_PATH"
    )]
    #[non_exhaustive]
    CodexNotFound {
        /// Where it was looked for.
        looked_for: String,
    },
    /// The working directory does not exist or is none.
    #[error("the working directory {} is not a directory: create it, or name another", path.display())]
    #[non_exhaustive]
    WorkingDirectory {
        /// The directory of the request.
        path: PathBuf,
    },
    /// The request cannot be put to Codex as it is.
    #[error("the turn cannot be asked for: {reason}")]
    #[non_exhaustive]
    InvalidRequest {
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The process could not be started.
    #[error("{} could not be started, see that it is the Codex CLI for this machine", program.display())]
    #[non_exhaustive]
    Spawn {
        /// The binary.
        program: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Codex ended the turn as failed.
    #[error("the turn failed: {}", with_advice(message))]
    #[non_exhaustive]
    Failed {
        /// Codex's own words.
        message: String,
    },
    /// The process ended before the turn did.
    #[error(
        "Codex ended ({status}) before the turn was over{}",
        told(message, stderr)
    )]
    #[non_exhaustive]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// Whether Codex had told of its thread by then.
        begun: bool,
        /// The last error that it told of.
        message: Option<String>,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
    /// The process closed its output, but neither ended the turn nor itself.
    #[error(
        "Codex closed its output before the turn was over, did not exit within {after:?}, and was killed"
    )]
    #[non_exhaustive]
    Hung {
        /// How long it was waited for.
        after: Duration,
    },
    /// Codex wrote something that is not the protocol.
    #[error("line {line} of Codex's output is not the protocol: {reason}")]
    #[non_exhaustive]
    Protocol {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it; never its content.
        reason: String,
    },
    /// Codex wrote more than it may within one turn.
    #[error("Codex wrote more than {limit} bytes within the turn: allow it more, or ask for less")]
    #[non_exhaustive]
    OutputTooLarge {
        /// The limit of the service.
        limit: usize,
    },
    /// Reading from or writing to Codex failed.
    #[error("{action} failed")]
    #[non_exhaustive]
    Io {
        /// What was tried.
        action: &'static str,
        /// The operating system's reason.
        source: io::Error,
    },
}

impl TurnError {
    /// Returns the failure mode, with the text of the error and a hint when to try again.
    #[must_use]
    pub fn classification(&self) -> Classification {
        let (class, retry_after) = match self {
            Self::CodexNotFound { .. } | Self::Spawn { .. } => (ErrorClass::Spawn, None),
            Self::WorkingDirectory { .. } => (ErrorClass::Config, None),
            Self::InvalidRequest { .. } => (ErrorClass::InvalidRequest, None),
            Self::Failed { message } => failure::of_message(message),
            Self::Exited {
                status,
                begun,
                message,
                stderr,
            } => failure::of_exit(*status, *begun, message.as_deref(), stderr),
            Self::Hung { .. } => (ErrorClass::Transport, None),
            Self::Protocol { .. } | Self::OutputTooLarge { .. } => (ErrorClass::Protocol, None),
            // A runtime that shuts down, or a panic, is told by the task that ended so.
            Self::Io { source, .. } => {
                let task = source.get_ref().and_then(|inside| foreign_class(inside));
                (task.unwrap_or(ErrorClass::Io), None)
            }
        };
        Classification::of(class, self).with_retry_after(retry_after)
    }
}

/// What Codex said last, as a part of a sentence.
fn told(message: &Option<String>, stderr: &str) -> String {
    let words = message.clone().or_else(|| failure::cause(stderr));
    words.map_or_else(String::new, |words| format!(": {}", words.trim()))
}

/// Codex's words, and what to do about them where they do not say so themselves.
fn with_advice(message: &str) -> String {
    let words = match message.trim() {
        // The body of a bad request is passed on as it is.
        "" => "Codex does not say why",
        words => words,
    };
    let advice = match failure::of_message(message).0 {
        ErrorClass::Unauthorized => {
            "log in with `codex login`, or give Codex the key that its provider asks for"
        }
        ErrorClass::InvalidRequest => {
            "check the model, and what else the request asks the provider for"
        }
        ErrorClass::Config | ErrorClass::Protocol => {
            "check the provider's `base_url` in Codex's configuration"
        }
        _ => return words.to_owned(),
    };
    format!("{}; {advice}", words.trim_end_matches('.'))
}
