use std::{fmt, sync::Arc};

use super::config::Signal;

/// The error of a flush or a shutdown that did not deliver everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undelivered {
    parts: Vec<Part>,
    unanswered: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    signal: Signal,
    failed: u64,
    pending: u64,
    problem: Option<Arc<str>>,
}

impl Undelivered {
    /// The export thread did not answer in time.
    pub(super) fn unanswered() -> Self {
        Self {
            parts: Vec::new(),
            unanswered: true,
        }
    }

    pub(super) fn is_unanswered(&self) -> bool {
        self.unanswered
    }

    pub(super) fn add(
        &mut self,
        signal: Signal,
        failed: u64,
        pending: u64,
        problem: Option<Arc<str>>,
    ) {
        if failed + pending > 0 {
            self.parts.push(Part {
                signal,
                failed,
                pending,
                problem,
            });
        }
    }

    pub(super) fn into_result(self) -> Result<(), Self> {
        if self.parts.is_empty() && !self.unanswered {
            Ok(())
        } else {
            Err(self)
        }
    }

    /// Returns how many records of a signal failed meanwhile.
    #[must_use]
    pub fn failed(&self, signal: Signal) -> u64 {
        self.part(signal).map_or(0, |part| part.failed)
    }

    /// Returns how many records of a signal were still under way at the deadline.
    #[must_use]
    pub fn pending(&self, signal: Signal) -> u64 {
        self.part(signal).map_or(0, |part| part.pending)
    }

    /// Returns why, by the last thing that went wrong with a signal: the endpoint, and the receiver's
    /// answer or what came instead of one.
    #[must_use]
    pub fn problem(&self, signal: Signal) -> Option<&str> {
        self.part(signal)?.problem.as_deref()
    }

    fn part(&self, signal: Signal) -> Option<&Part> {
        self.parts.iter().find(|part| part.signal == signal)
    }
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.unanswered {
            "the export thread did not answer in time"
        } else {
            "not everything was delivered"
        })?;
        for (at, part) in self.parts.iter().enumerate() {
            let Part {
                signal,
                failed,
                pending,
                problem,
            } = part;
            let mark = if at == 0 { ":" } else { ";" };
            write!(
                f,
                "{mark} {signal}: {failed} failed, {pending} still under way"
            )?;
            if let Some(problem) = problem {
                write!(f, " ({problem})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Undelivered {}
