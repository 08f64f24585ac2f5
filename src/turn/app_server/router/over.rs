use std::{process::ExitStatus, time::Duration};

use tokio::time::Instant;

use crate::turn::TurnError;

/// How a server ended.
#[derive(Debug)]
pub(in crate::turn::app_server) struct Over {
    pub(in crate::turn::app_server) reason: Reason,
    /// `None` if it is unknown.
    pub(in crate::turn::app_server) status: Option<ExitStatus>,
    /// The end of its standard error.
    pub(in crate::turn::app_server) stderr: String,
    pub(in crate::turn::app_server) at: Instant,
    /// Whether it had completed a turn.
    pub(in crate::turn::app_server) was_useful: bool,
}

/// Why a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::turn::app_server) enum Reason {
    /// It was told to.
    Closed,
    /// It did so by itself.
    Exited,
    /// It closed its output, and did not exit.
    Hung { after: Duration },
    /// It wrote a line that is too long.
    TooLong { line: u64, limit: usize },
    /// The service stops.
    Stopped,
}

// === impl Over ===

impl Over {
    /// Returns the end of a server whose connection is gone.
    pub(super) fn unknown() -> Self {
        Self {
            reason: Reason::Exited,
            status: None,
            stderr: String::new(),
            at: Instant::now(),
            was_useful: false,
        }
    }

    /// Returns the error of a turn that the server ran.
    pub(in crate::turn::app_server) fn error(&self) -> TurnError {
        match self.reason {
            Reason::Stopped => TurnError::Stopped,
            Reason::TooLong { line, limit } => TurnError::Protocol {
                line,
                reason: format!("it is longer than the limit of {limit} bytes"),
            },
            Reason::Hung { after } => TurnError::Hung { after },
            Reason::Closed | Reason::Exited => TurnError::ServerExited {
                status: self.status,
                stderr: self.stderr.clone(),
            },
        }
    }
}
