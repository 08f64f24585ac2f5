use std::{fmt, sync::Arc};

use super::{config::Signal, shared::Shared};

/// The error of a flush or a shutdown after which records are failed or pending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undelivered {
    /// The signals with failed or pending records.
    signals: Vec<UndeliveredSignal>,
    timed_out: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct UndeliveredSignal {
    signal: Signal,
    failed: u64,
    pending: u64,
    problem: Option<Arc<str>>,
}

impl Undelivered {
    /// Returns the error of an export thread that did not respond in time.
    pub(super) fn timed_out() -> Self {
        Self {
            signals: Vec::new(),
            timed_out: true,
        }
    }

    pub(super) fn is_timed_out(&self) -> bool {
        self.timed_out
    }

    /// Adds the failed and pending records of a signal, and why they are.
    pub(super) fn add(&mut self, shared: &Shared, signal: Signal, failed: u64, pending: u64) {
        if failed + pending > 0 {
            self.signals.push(UndeliveredSignal {
                signal,
                failed,
                pending,
                problem: shared.counters(signal).reason(failed, pending),
            });
        }
    }

    pub(super) fn into_result(self) -> Result<(), Self> {
        if self.signals.is_empty() && !self.timed_out {
            Ok(())
        } else {
            Err(self)
        }
    }

    /// Returns the number of records of a signal that failed.
    #[must_use]
    pub fn failed(&self, signal: Signal) -> u64 {
        self.of(signal).map_or(0, |of| of.failed)
    }

    /// Returns the number of records of a signal that were still pending at the deadline.
    #[must_use]
    pub fn pending(&self, signal: Signal) -> u64 {
        self.of(signal).map_or(0, |of| of.pending)
    }

    /// Returns the latest problem of a signal: the endpoint, and the receiver's response or the error of
    /// the connection.
    #[must_use]
    pub fn problem(&self, signal: Signal) -> Option<&str> {
        self.of(signal)?.problem.as_deref()
    }

    fn of(&self, signal: Signal) -> Option<&UndeliveredSignal> {
        self.signals.iter().find(|of| of.signal == signal)
    }
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.timed_out {
            "the export thread did not respond in time"
        } else {
            "not everything was delivered"
        })?;
        for (index, of) in self.signals.iter().enumerate() {
            let separator = if index == 0 { ":" } else { ";" };
            let (signal, failed, pending) = (of.signal, of.failed, of.pending);
            write!(
                f,
                "{separator} {signal}: {failed} failed, {pending} pending"
            )?;
            if let Some(problem) = &of.problem {
                write!(f, " ({problem})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Undelivered {}
