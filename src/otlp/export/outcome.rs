use std::{borrow::Cow, time::Duration};

/// The `error.type` of records that a receiver rejected while it accepted others.
pub(crate) const REJECTED: &str = "rejected";

/// The outcome of one export.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ExportOutcome {
    /// The receiver accepted the request, except for this many records.
    Accepted {
        rejected: u64,
        problem: Option<String>,
    },
    /// The export failed permanently.
    Rejected(Problem),
    /// The request is larger than the receiver or the configuration allows. Its halves may be accepted.
    TooLarge(Problem),
    /// The export failed, and a retry may succeed.
    Retryable {
        problem: Problem,
        retry_after: Option<Duration>,
    },
}

/// Why an export failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The destination, and what happened. Without secrets.
    pub(crate) text: String,
    /// The value of `error.type` on the metrics of the sink: a status, or a kind of error.
    pub(crate) error_type: Cow<'static, str>,
}

// === impl ExportOutcome ===

impl ExportOutcome {
    /// Returns the outcome of a request whose records were all accepted.
    pub(super) fn accepted(problem: Option<String>) -> Self {
        Self::Accepted {
            rejected: 0,
            problem,
        }
    }

    pub(super) fn retryable(problem: Problem) -> Self {
        Self::Retryable {
            problem,
            retry_after: None,
        }
    }

    /// Puts the destination before the text of the problem.
    pub(super) fn at(mut self, destination: &str) -> Self {
        if let Some(text) = self.text_mut() {
            *text = format!("{destination}: {text}");
        }
        self
    }

    pub(super) fn text_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Accepted { problem, .. } => problem.as_mut(),
            Self::Rejected(problem) | Self::TooLarge(problem) | Self::Retryable { problem, .. } => {
                Some(&mut problem.text)
            }
        }
    }
}

// === impl Problem ===

impl Problem {
    pub(super) fn new(error_type: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            error_type: error_type.into(),
        }
    }
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self::new("_OTHER", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_begins_with_the_destination() {
        let outcome = ExportOutcome::Rejected("no".to_owned().into());
        let expected = ExportOutcome::Rejected("e: no".to_owned().into());
        assert_eq!(outcome.at("e"), expected);
    }
}
