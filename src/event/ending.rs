use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{
    Annotations, Emitter, Event, Outcome,
    record::{Beginning, OpenState, Record, RecordHandle},
};

/// How a call is to end.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    /// Now, with this outcome.
    Now(Outcome),
    /// With this outcome some time ago, but not before it began.
    #[cfg(any(test, all(feature = "turn", unix)))]
    Since(std::time::Duration, Outcome),
    /// Now as [`Outcome::Ok`], unless its service keeps it open after the answer.
    Answered,
    /// Now as [`Outcome::Cancelled`], unless a drop is a failure.
    Dropped,
}

/// What was taken out of the state of a call that has ended.
struct Ended {
    emitter: Arc<Emitter>,
    outcome: Outcome,
    /// In nanoseconds.
    duration: u64,
    annotations: Option<Box<Annotations>>,
}

// === impl Record ===

impl Record {
    /// Ends a call and emits its terminal event, if that is wanted and the call has not ended before.
    #[inline]
    pub(crate) fn end(mut record: RecordHandle, ending: Ending) {
        let began = record.began;
        // The last handle needs no lock.
        let ended = match RecordHandle::get_mut(&mut record) {
            Some(record) => record.open_mut().end(began, ending),
            None => record.lock().end(began, ending),
        };
        let Some(ended) = ended else {
            return;
        };
        record.duration.store(ended.duration, Relaxed);
        let annotations = ended.annotations;
        #[cfg(all(feature = "turn", unix))]
        let annotations = record.with_phases(annotations, &ended.emitter.clock, ended.outcome);
        if let Some(annotations) = annotations {
            match RecordHandle::get_mut(&mut record) {
                Some(record) => record.annotations = annotations.into(),
                // Cannot fail: only the one who took the emitter comes here.
                None => drop(record.annotations.set(annotations)),
            }
        }
        if record.interest.in_ends() {
            ended.emitter.emit(Event::terminal(record, ended.outcome));
        }
    }
}

// === impl OpenState ===

impl OpenState {
    /// Returns `None` if the call has ended before, or stays open.
    #[inline(always)]
    fn end(&mut self, began: Beginning, ending: Ending) -> Option<Ended> {
        let (ago, outcome) = match ending {
            Ending::Now(outcome) => (0, outcome),
            #[cfg(any(test, all(feature = "turn", unix)))]
            Ending::Since(ago, outcome) => (super::clock::saturating_nanos(ago), outcome),
            Ending::Answered if self.is_noted(|of| of.kept_open) => return None,
            Ending::Answered => (0, Outcome::Ok),
            Ending::Dropped if self.is_noted(|of| of.fails_when_dropped) => (0, Outcome::Error),
            Ending::Dropped => (0, Outcome::Cancelled),
        };
        let emitter = self.emitter.take()?;
        let (duration, suspension) = began.elapsed(&emitter.clock);
        if suspension > 0 {
            self.annotate().suspension = suspension;
        }
        Some(Ended {
            emitter,
            outcome,
            duration: duration.saturating_sub(ago),
            annotations: self.take_annotations(),
        })
    }

    #[inline]
    fn is_noted(&self, note: impl Fn(&Annotations) -> bool) -> bool {
        self.annotations().is_some_and(note)
    }
}
