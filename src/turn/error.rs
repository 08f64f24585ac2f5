use std::{
    error::Error, io, os::unix::process::ExitStatusExt, path::PathBuf, process::ExitStatus,
    time::Duration,
};

use super::{
    CodexErrorInfo,
    failure::{self, Failure},
    redact::Redactor,
};
use crate::{
    error::{chain, foreign_class},
    event::{Classification, ErrorClass, error_text},
};

/// The reason why a turn did not complete.
///
/// Its text is for the caller: it has what Codex reported, whole, which may repeat the prompt, the output of
/// tools, and settings. [`classification`](Self::classification) has the text that is recorded.
///
/// ```
/// use codex_telemetry::{
///     ErrorClass,
///     turn::{TurnError, TurnRequest, CodexExec},
/// };
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let turns = CodexExec::builder().codex("/no/such/codex").build();
/// let error = turns.oneshot(TurnRequest::new("Say hi")).await.unwrap_err();
/// assert!(matches!(error, TurnError::CodexNotFound { .. }));
/// assert_eq!(error.classification().class, ErrorClass::Spawn);
///
/// // What a fake of a turn service returns, with a text of Codex.
/// let error = TurnError::failed("rate limit exceeded, try again in 2s");
/// assert_eq!(error.classification().class, ErrorClass::RateLimit);
/// assert_eq!(error.classification().retry_after.map(|wait| wait.as_secs()), Some(2));
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
    #[error(
        "{}",
        failed(reason(message, info.as_ref()), failure::of_turn(message, info.as_ref()).class)
    )]
    Failed {
        /// Codex's own message, whole.
        message: String,
        /// Codex's own kind of the error. `codex exec` does not tell it.
        info: Option<CodexErrorInfo>,
    },
    /// The server of the turn, a `codex app-server`, exited before the end of the turn. The next turn starts another
    /// one.
    #[error("{}", server_exited(*status, &last_message(None, own_reason(*status, stderr))))]
    ServerExited {
        /// The exit status; `None` if it is unknown.
        status: Option<ExitStatus>,
        /// The end of the server's standard error, whole. The server is shared, so other turns may have written to
        /// it.
        stderr: String,
    },
    /// The server rejected a request of the turn.
    #[error("{}", rejected(method, *code, message, failure::of_rejection(*code, message).class))]
    Rejected {
        /// The method of the request.
        method: &'static str,
        /// The code of the error, by JSON-RPC.
        code: i64,
        /// Codex's own message, whole.
        message: String,
    },
    /// The server did not answer a request of the turn.
    #[error(
        "Codex did not answer `{method}` within {after:?}: raise the request timeout, or run fewer turns at once"
    )]
    Unanswered {
        /// The method of the request.
        method: &'static str,
        /// How long the service waited.
        after: Duration,
    },
    /// The turn was interrupted, and not by this service.
    #[error("the turn was interrupted, and not by this service: check who else uses its thread")]
    Interrupted,
    /// An approver cancelled the turn when a tool asked for an approval.
    #[error("the approver of {tool} cancelled the turn")]
    CancelledByApprover {
        /// The name of the tool that asked.
        tool: String,
    },
    /// The process exited before the end of the turn.
    #[error("{}", exited(*status, &last_message(message.as_deref(), stderr)))]
    Exited {
        /// The exit status.
        status: ExitStatus,
        /// Whether Codex had reported the thread by then.
        thread_started: bool,
        /// The last error that Codex reported, whole.
        message: Option<String>,
        /// The end of standard error, whole.
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
    /// Returns the error of a turn that Codex reported as failed, with its message.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            info: None,
        }
    }

    /// Returns the error class, the message to record, and how long to wait before a retry.
    ///
    /// The message has Codex's own words alone, such as `the turn failed: unexpected status 400 …`. What
    /// Codex repeats of the provider, the prompt or a tool is not in it. To record the whole text anyway:
    ///
    /// ```
    /// use codex_telemetry::{CodexClassifier, turn::TurnError};
    ///
    /// let classifier = CodexClassifier.with(|error| {
    ///     let turn: &TurnError = error.downcast_ref()?;
    ///     Some(turn.classification().with_message(turn.to_string()))
    /// });
    /// # let error = TurnError::failed("a new text");
    /// # assert_eq!(classifier.of(&error).message.unwrap(), "the turn failed: a new text");
    /// ```
    #[must_use]
    pub fn classification(&self) -> Classification {
        if let Some((failure, message)) = self.failure() {
            return Classification::from(failure.class)
                .with_message(message)
                .with_retry_after(failure.retry_after);
        }
        let class = match self {
            Self::CodexNotFound { .. } | Self::Spawn { .. } => ErrorClass::Spawn,
            Self::WorkingDirectory { .. } => ErrorClass::Config,
            Self::InvalidRequest { .. } => ErrorClass::InvalidRequest,
            Self::Hung { .. } | Self::Unanswered { .. } => ErrorClass::Transport,
            Self::Stopped | Self::Interrupted => ErrorClass::Interrupted,
            Self::CancelledByApprover { .. } => ErrorClass::ApprovalDenied,
            Self::Protocol { .. } | Self::OutputTooLarge { .. } => ErrorClass::Protocol,
            // A blocking task that panicked or was cancelled is the cause, and has a class of its own.
            Self::Io { source, .. } => {
                let task = source.get_ref().and_then(|inside| foreign_class(inside));
                task.unwrap_or(ErrorClass::Io)
            }
            Self::Failed { .. }
            | Self::ServerExited { .. }
            | Self::Rejected { .. }
            | Self::Exited { .. } => ErrorClass::Other,
        };
        Classification::of(class, self)
    }

    /// Returns what is known of the failure, and the message to record, if the error has texts of others.
    fn failure(&self) -> Option<(Failure, String)> {
        Some(match self {
            Self::Failed { message, info } => {
                let failure = failure::of_turn(message, info.as_ref());
                let text = failed(&failure.recorded, failure.class);
                (failure, text)
            }
            Self::ServerExited { status, stderr } => {
                let failure = failure::of_server_exit(own_reason(*status, stderr));
                let text = server_exited(*status, &failure.recorded);
                (failure, text)
            }
            Self::Rejected {
                method,
                code,
                message,
            } => {
                let failure = failure::of_rejection(*code, message);
                let text = rejected(method, *code, &failure.recorded, failure.class);
                (failure, text)
            }
            Self::Exited {
                status,
                thread_started,
                message,
                stderr,
            } => {
                let failure =
                    failure::of_exit(*status, *thread_started, message.as_deref(), stderr);
                let text = exited(*status, &failure.recorded);
                (failure, text)
            }
            _ => return None,
        })
    }

    /// Returns what Codex reported, and may be texts of others.
    fn reported(&self) -> Vec<&str> {
        match self {
            Self::Failed { message, .. } | Self::Rejected { message, .. } => vec![message],
            Self::ServerExited { stderr, .. } => vec![stderr],
            Self::Exited {
                message, stderr, ..
            } => message.iter().chain([stderr]).map(|text| &**text).collect(),
            _ => Vec::new(),
        }
    }
}

/// Returns the message to record instead of the texts of `error` and its sources, if one of them is a
/// [`TurnError`] with a text of others.
pub(crate) fn recorded_message(error: &(dyn Error + 'static)) -> Option<String> {
    /// Stands for the text of the turn's error, and is in no text.
    const PLACE: &str = "\0turn\0";

    let mut turns = chain(error).filter_map(|error| error.downcast_ref::<TurnError>());
    // It is the last one: an error with such a text has no source.
    let turn = turns.find(|turn| !turn.reported().is_empty())?;
    let recorded = turn.classification().message?;
    // The errors around it may repeat its text, or a part of it in another form.
    let text = error_text(error).replace(&turn.to_string(), PLACE);
    let mut redactor = Redactor::default();
    for reported in turn.reported() {
        redactor.add_text(reported);
    }
    Some(redactor.apply(&text).replace(PLACE, &recorded))
}

/// Returns the message of a process that exited.
fn exited(status: ExitStatus, reason: &str) -> String {
    let colon = if reason.is_empty() { "" } else { ": " };
    format!("Codex exited ({status}) before the end of the turn{colon}{reason}")
}

/// Returns standard error, if it may explain the exit: a server that a signal has ended did not explain it, and what is
/// there is of earlier turns.
fn own_reason(status: Option<ExitStatus>, stderr: &str) -> &str {
    match status.and_then(|status| status.signal()) {
        Some(_) => "",
        None => stderr,
    }
}

/// Returns the message of a server that exited.
fn server_exited(status: Option<ExitStatus>, reason: &str) -> String {
    let status = status.map(|status| format!(" ({status})"));
    let colon = if reason.is_empty() { "" } else { ": " };
    format!(
        "the Codex server exited{} before the end of the turn{colon}{reason}",
        status.unwrap_or_default()
    )
}

/// Returns the message of a request that the server rejected.
fn rejected(method: &str, code: i64, reason: &str, class: ErrorClass) -> String {
    let colon = if reason.is_empty() { "" } else { ": " };
    let rejected = format!(
        "Codex rejected `{method}` (code {code}){colon}{}",
        reason.trim_end()
    );
    let advice = match class {
        // The server, and no turn.
        _ if method == "initialize" => return rejected,
        ErrorClass::InvalidRequest => "check the thread and the settings of the request",
        ErrorClass::Config => "check Codex's configuration and the settings of the request",
        ErrorClass::Overloaded => "run fewer turns at once",
        _ => return rejected,
    };
    format!("{}; {advice}", rejected.trim_end_matches('.'))
}

/// Returns what Codex said of a turn that failed, or else its own kind of the error.
fn reason<'a>(message: &'a str, info: Option<&'a CodexErrorInfo>) -> &'a str {
    match info {
        Some(info) if message.trim().is_empty() && failure::has_kind(info) => &info.kind,
        _ => message,
    }
}

/// Returns the last message of a process.
fn last_message(message: Option<&str>, stderr: &str) -> String {
    let message = message
        .map(str::to_owned)
        .or_else(|| failure::cause(stderr));
    message.unwrap_or_default().trim().to_owned()
}

/// Returns the message of a turn that failed.
fn failed(reason: &str, class: ErrorClass) -> String {
    let reason = match reason.trim() {
        // Codex passes on the body of a bad request unchanged, and the body may be empty.
        "" => "Codex reported no reason",
        reason => reason,
    };
    let advice = match class {
        ErrorClass::Unauthorized => {
            "log in with `codex login`, or give Codex the key that its provider requires"
        }
        ErrorClass::InvalidRequest => "check the model and the other settings of the request",
        ErrorClass::Config | ErrorClass::Protocol => {
            "check the provider's `base_url` in Codex's configuration"
        }
        _ => return format!("the turn failed: {reason}"),
    };
    format!(
        "the turn failed: {}; {advice}",
        reason.trim_end_matches('.')
    )
}
