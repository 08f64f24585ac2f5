use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use opentelemetry::{
    KeyValue, SpanId, StringValue, TraceFlags, TraceId,
    trace::{SpanContext, TraceState},
};

use super::{
    Recorder,
    clock::{Tick, WallTime},
    cut::cut,
    error_class::Classification,
    id,
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
    pub(crate) flags: TraceFlags,
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    /// `INVALID` when there is none.
    pub(crate) parent_span_id: SpanId,
    pub(crate) start_time: WallTime,
    started: Tick,
    open: Mutex<Open>,
    /// In nanoseconds; [`STILL_OPEN`] until the call has ended.
    duration: AtomicU64,
    /// What was noted by the end. Boxed, since most calls have nothing to tell.
    notes: OnceLock<Box<Notes>>,
}

/// No duration that a clock tells.
const STILL_OPEN: u64 = u64::MAX;

/// What is known of a call before it begins.
pub(crate) struct Opening {
    pub(crate) operation: Operation,
    pub(crate) name: Option<StringValue>,
    pub(crate) originator: Option<Originator>,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) attempt: u32,
}

/// The span that a call becomes.
pub(crate) struct Place {
    pub(crate) trace_id: TraceId,
    pub(crate) parent_span_id: Option<SpanId>,
    pub(crate) flags: TraceFlags,
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

/// What a record has only while its call is open.
#[derive(Debug)]
struct Open {
    /// Where the events go. A call can end only once because this can be taken only once; and because it
    /// is taken, a sink may keep events for ever without keeping itself.
    recorder: Option<Arc<Recorder>>,
    notes: Option<Box<Notes>>,
}

/// What layers and services write on a call.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) classification: Option<Classification>,
    /// Who asked, when that was said only after the call had begun.
    pub(crate) originator: Option<Originator>,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) span_events: Vec<opentelemetry::trace::Event>,
    pub(crate) dropped_span_events: u32,
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
    /// Begins a call now.
    #[inline]
    pub(crate) fn begin(opening: Opening, place: &Place, recorder: Arc<Recorder>) -> Arc<Self> {
        let started = recorder.clock.now();
        Arc::new(Self {
            operation: opening.operation,
            name: opening.name,
            originator: opening.originator,
            identity: opening.identity,
            attempt: opening.attempt,
            flags: place.flags,
            trace_id: place.trace_id,
            span_id: id::span_id(),
            parent_span_id: place.parent_span_id.unwrap_or(SpanId::INVALID),
            start_time: recorder.clock.wall(started),
            started,
            open: Mutex::new(Open {
                recorder: Some(recorder),
                notes: None,
            }),
            duration: AtomicU64::new(STILL_OPEN),
            notes: OnceLock::new(),
        })
    }

    /// Ends the call now, and returns where to tell of it; `None` when it has ended before.
    pub(crate) fn end(&self) -> Option<Arc<Recorder>> {
        let mut open = self.lock();
        let recorder = open.recorder.take()?;
        let notes = open.notes.take();
        let duration = recorder.clock.now().since(self.started);
        self.duration.store(duration, Relaxed);
        drop(open);
        if let Some(notes) = notes {
            // Empty until now, since only whoever took the recorder comes here.
            let _ = self.notes.set(notes);
        }
        Some(recorder)
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.duration.load(Relaxed) == STILL_OPEN
    }

    /// Where the events go, while the call is open.
    pub(crate) fn recorder(&self) -> Option<Arc<Recorder>> {
        self.lock().recorder.clone()
    }

    /// How long the call took; for its terminal event, whoever has which has it from after the end.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_nanos(self.duration.load(Relaxed))
    }

    /// What was noted by the end of the call.
    pub(crate) fn notes(&self) -> Option<&Notes> {
        self.notes.get().map(|notes| &**notes)
    }

    /// Notes something; what comes after the end is not heard.
    pub(crate) fn note(&self, something: impl FnOnce(&mut Notes)) {
        let mut open = self.lock();
        if open.recorder.is_some() {
            something(open.notes.get_or_insert_default());
        }
    }

    pub(crate) fn classify(&self, mut why: Classification) {
        if let Some(message) = &mut why.message {
            cut(message, LONGEST_MESSAGE);
        }
        self.note(|notes| notes.classification = Some(why));
    }

    pub(crate) fn add_event(&self, mut event: opentelemetry::trace::Event) {
        cut(event.name.to_mut(), LONGEST_MESSAGE);
        self.note(|notes| {
            if notes.span_events.len() < MOST_SPAN_EVENTS {
                notes.span_events.push(event);
            } else {
                notes.dropped_span_events = notes.dropped_span_events.saturating_add(1);
            }
        });
    }

    /// Notes ids that were not known when the call began.
    pub(crate) fn learn(&self, ids: impl FnOnce(&mut Identity)) {
        self.note(|notes| {
            let known = notes
                .identity
                .get_or_insert_with(|| self.identity.clone().unwrap_or_default());
            ids(Arc::make_mut(known));
        });
    }

    /// Who asked, as far as it is known now.
    pub(crate) fn originator_now(&self) -> Option<Originator> {
        self.noted(|notes| notes.originator.clone())
            .or_else(|| self.originator.clone())
    }

    /// The ids as far as they are known now.
    pub(crate) fn identity_now(&self) -> Option<Arc<Identity>> {
        self.noted(|notes| notes.identity.clone())
            .or_else(|| self.identity.clone())
    }

    fn noted<T>(&self, read: impl Fn(&Notes) -> Option<T>) -> Option<T> {
        let open = self.lock();
        read(open.notes.as_deref().or_else(|| self.notes())?)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // No code of others runs under the lock, so what a panicking thread left is whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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
