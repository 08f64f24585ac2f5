use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use opentelemetry::{
    KeyValue, SpanId, StringValue, TraceFlags, TraceId,
    trace::{SpanContext, TraceState},
};

use super::{
    Outcome,
    clock::{Tick, WallTime},
    cut::cut,
    error_class::{Classification, ErrorClass},
    operation::Operation,
    originator::Originator,
};

/// How long a message of others may be, in bytes: an event is no place for a whole document.
const LONGEST_MESSAGE: usize = 4096;
/// How many moments of one call are kept; OpenTelemetry's own limit.
const MOST_SPAN_EVENTS: usize = 128;

/// Everything that is known of one call, from its opening to its end: one allocation, shared by the
/// open call that writes it and by the events that read it.
pub(crate) struct Record {
    pub(crate) operation: Operation,
    pub(crate) name: Option<StringValue>,
    pub(crate) originator: Option<Originator>,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) attempt: u32,
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent_span_id: Option<SpanId>,
    pub(crate) flags: TraceFlags,
    pub(crate) started: Tick,
    pub(crate) start_time: WallTime,
    /// What layers and services write while the call is open.
    pub(crate) notes: Mutex<Notes>,
    /// Set once, by whoever closes the call: that it can be set only once is why no call ends twice.
    pub(crate) end: OnceLock<End>,
}

/// The ids that come with a request, or are learned during the call.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Identity {
    pub(crate) thread_id: Option<StringValue>,
    pub(crate) turn_id: Option<StringValue>,
    pub(crate) call_id: Option<StringValue>,
    /// The span that the request came from, in this process or another.
    pub(crate) parent: Option<SpanContext>,
}

#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) classification: Option<Box<Classification>>,
    /// Behind a box because most calls have none of it.
    pub(crate) late: Option<Box<Late>>,
}

#[derive(Debug, Default)]
pub(crate) struct Late {
    pub(crate) originator: Option<Originator>,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) span_events: Vec<opentelemetry::trace::Event>,
    pub(crate) dropped_span_events: u32,
}

#[derive(Debug)]
pub(crate) struct End {
    pub(crate) duration: Duration,
    pub(crate) outcome: Outcome,
    pub(crate) notes: Notes,
}

// === impl Record ===

/// Shows what the call is known by, and nothing that was noted on it.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("operation", &self.operation)
            .field("name", &self.name)
            .field("trace_id", &self.trace_id)
            .field("span_id", &self.span_id)
            .finish_non_exhaustive()
    }
}

impl Record {
    /// Closes the record; `false` when it was closed before.
    pub(crate) fn close(&self, now: Tick, outcome: Outcome) -> bool {
        if self.end.get().is_some() {
            return false;
        }
        let mut notes = std::mem::take(&mut *self.notes());
        match outcome {
            // An attempt that failed and was retried is not a failure of the call.
            Outcome::Ok => notes.classification = None,
            Outcome::Error => {}
            Outcome::Cancelled => notes.ended_as(ErrorClass::Cancelled),
            Outcome::Panic => notes.ended_as(ErrorClass::Panic),
        }
        self.end
            .set(End {
                duration: now.since(self.started),
                outcome,
                notes,
            })
            .is_ok()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.end.get().is_none()
    }

    /// The notes, for writing; what is written after the end is never read.
    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        // No code of others runs under the lock, so what a panicking thread left is whole.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn classify(&self, mut why: Classification) {
        if let Some(message) = &mut why.message {
            cut(message, LONGEST_MESSAGE);
        }
        self.notes().classification = Some(Box::new(why));
    }

    pub(crate) fn add_event(&self, mut event: opentelemetry::trace::Event) {
        cut(event.name.to_mut(), LONGEST_MESSAGE);
        let mut notes = self.notes();
        let late = notes.late();
        if late.span_events.len() < MOST_SPAN_EVENTS {
            late.span_events.push(event);
        } else {
            late.dropped_span_events = late.dropped_span_events.saturating_add(1);
        }
    }

    /// Notes ids that were not known when the call began.
    pub(crate) fn learn(&self, ids: impl FnOnce(&mut Identity)) {
        let mut notes = self.notes();
        let late = notes.late();
        let known = late
            .identity
            .get_or_insert_with(|| self.identity.clone().unwrap_or_default());
        ids(Arc::make_mut(known));
    }

    /// Who asked, as far as it is known now.
    pub(crate) fn originator_now(&self) -> Option<Originator> {
        let learned = |notes: &Notes| notes.late.as_ref()?.originator.clone();
        self.read_notes(learned).or_else(|| self.originator.clone())
    }

    /// The ids as far as they are known now.
    pub(crate) fn identity_now(&self) -> Option<Arc<Identity>> {
        self.read_notes(|notes| notes.late.as_ref()?.identity.clone())
            .or_else(|| self.identity.clone())
    }

    fn read_notes<T>(&self, read: impl FnOnce(&Notes) -> Option<T>) -> Option<T> {
        match self.end.get() {
            Some(end) => read(&end.notes),
            None => read(&self.notes()),
        }
    }

    pub(crate) fn span_context(&self) -> SpanContext {
        SpanContext::new(
            self.trace_id,
            self.span_id,
            self.flags,
            false,
            self.trace_state(),
        )
    }

    fn trace_state(&self) -> TraceState {
        self.identity
            .as_ref()
            .and_then(|ids| ids.parent.as_ref())
            .map(|parent| parent.trace_state().clone())
            .unwrap_or_default()
    }
}

// === impl Notes ===

impl Notes {
    pub(crate) fn late(&mut self) -> &mut Late {
        self.late.get_or_insert_default()
    }

    fn ended_as(&mut self, class: ErrorClass) {
        self.classification = Some(Box::new(class.into()));
    }
}
