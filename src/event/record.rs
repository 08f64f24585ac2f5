use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use opentelemetry::{
    Key, KeyValue, SpanId, StringValue, TraceFlags, TraceId, Value,
    trace::{Event as SpanEvent, SpanContext},
};

#[cfg(all(feature = "turn", unix))]
use super::PhaseLink;
#[cfg(feature = "otlp")]
use super::attributes::estimated_size;
#[cfg(any(test, all(feature = "turn", unix)))]
use super::clock::saturating_nanos;
use super::{
    Emitter, Outcome, Phases, Ticket,
    attributes::{Attributes, cut, cut_text},
    clock::{Clock, Tick, WallTime},
    error_class::Classification,
    id,
    operation::Operation,
    originator::Originator,
    text::truncate,
};

/// The longest error message or span event name, in bytes.
const MAX_TEXT_LEN: usize = 4096;
/// The longest name or id of a call, in bytes. A model can make up any.
const MAX_NAME_LEN: usize = 256;
/// The most span events that one call keeps, as in OpenTelemetry's span limits.
const MAX_SPAN_EVENTS: usize = 128;
/// The longest content, such as a message, in bytes.
pub(super) const MAX_CONTENT_LEN: usize = 64 * 1024;
/// The `duration` of a call that has not ended.
const STILL_OPEN: u64 = u64::MAX;

/// Everything that is known of one call: one allocation, shared by the open call, which writes it, and by
/// the events, which read it.
pub(crate) struct Record {
    pub(crate) start: CallStart,
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    /// `INVALID` for the root span of a trace.
    pub(crate) parent_span_id: SpanId,
    pub(crate) flags: TraceFlags,
    /// The agent of the turn that this call is, or is a part of. Shared with the calls of the turn.
    pub(crate) agent: Option<Arc<str>>,
    pub(crate) start_time: WallTime,
    pub(super) started: Tick,
    open: Mutex<OpenState>,
    /// In nanoseconds, or [`STILL_OPEN`].
    duration: AtomicU64,
    /// The annotations at the end of the call. Boxed, since most calls have none.
    annotations: OnceLock<Box<Annotations>>,
}

/// What a request says of its call.
pub(crate) struct CallStart {
    pub(crate) operation: Operation,
    pub(crate) name: Option<StringValue>,
    pub(crate) originator: Option<Originator>,
    pub(crate) ids: Option<Arc<CallIds>>,
    pub(crate) attempt: u32,
    /// The call of the same turn or tool that is open around this one, as around each attempt of a retry.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) outer: Option<Arc<Record>>,
    /// Whether the call is made for a service that measures the phases of its turns.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) has_phases: bool,
}

/// When a call began, by both clocks.
pub(crate) struct Beginning {
    started: Tick,
    start_time: WallTime,
}

/// The span that a call is a child of.
pub(crate) struct Parent {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) flags: TraceFlags,
    /// The agent on whose behalf the call is made; `None` if the span is of another process.
    pub(crate) agent: Option<Arc<str>>,
}

/// The ids that a request has, or that a service sets during the call.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CallIds {
    pub(crate) thread_id: Option<StringValue>,
    pub(crate) turn_id: Option<StringValue>,
    pub(crate) call_id: Option<StringValue>,
    /// The span that the request comes from, in this process or another.
    pub(crate) parent: Option<SpanContext>,
    /// Here, since few requests have one, and requests stay small.
    pub(crate) ticket: Option<Ticket>,
}

/// The state of a call that has not ended.
#[derive(Default)]
struct OpenState {
    /// A call ends only once because its emitter can be taken only once. And because it is taken, events
    /// that a sink keeps do not keep the sink alive.
    emitter: Option<Arc<Emitter>>,
    annotations: Option<Box<Annotations>>,
}

/// What layers and services write on an open call. Without `Debug`, since it may be confidential.
#[derive(Default)]
pub(crate) struct Annotations {
    pub(crate) attributes: Attributes,
    /// What may be confidential: messages, and arguments and results of tools. Boxed, since few calls have any.
    pub(crate) content: Option<Box<Attributes>>,
    pub(crate) classification: Option<Classification>,
    /// The originator, when it was set after the call had begun.
    pub(crate) originator: Option<Originator>,
    pub(crate) ids: Option<Arc<CallIds>>,
    pub(crate) span_events: Vec<SpanEvent>,
    pub(crate) dropped_span_events: u32,
    /// How long the machine was suspended during the call, in nanoseconds.
    pub(crate) suspension: u64,
    /// Whether the call goes on after its service has answered. Here, since few calls do.
    kept_open: bool,
    /// Whether a drop of the call is a failure, with the class that is set by then.
    pub(crate) fails_when_dropped: bool,
    #[cfg(all(feature = "turn", unix))]
    pub(super) phase_link: Option<PhaseLink>,
    /// Of a turn that has ended.
    pub(super) phases: Option<Box<Phases>>,
}

// === impl Record ===

impl Record {
    /// Begins a call, as the root of a new trace if it has no parent.
    ///
    /// `begins` is generic, so that a call that begins now costs nothing for those that began earlier.
    #[inline]
    pub(crate) fn begin(
        mut start: CallStart,
        parent: Option<Parent>,
        emitter: Arc<Emitter>,
        begins: impl FnOnce(&Clock) -> Beginning,
    ) -> Arc<Self> {
        let (trace_id, parent_span_id, parent_flags, agent) = match parent {
            Some(parent) => (
                parent.trace_id,
                parent.span_id,
                Some(parent.flags),
                parent.agent,
            ),
            None => (id::trace_id(), SpanId::INVALID, None, None),
        };
        start.cut();
        let agent = match start.operation {
            Operation::Turn => start.name.as_ref().map(|name| name.as_str().into()),
            _ => agent,
        };
        let flags = emitter.flags(trace_id, parent_flags);
        let Beginning {
            started,
            start_time,
        } = begins(&emitter.clock);
        Arc::new(Self {
            start,
            trace_id,
            span_id: id::span_id(),
            parent_span_id,
            flags,
            agent,
            start_time,
            started,
            open: Mutex::new(OpenState {
                emitter: Some(emitter),
                ..OpenState::default()
            }),
            duration: AtomicU64::new(STILL_OPEN),
            annotations: OnceLock::new(),
        })
    }

    /// Returns when a child of this call began some time ago, which is not before this call.
    #[cfg(any(test, all(feature = "turn", unix)))]
    pub(crate) fn beginning_of_child(&self, clock: &Clock, ago: Duration) -> Beginning {
        let now = clock.now();
        let ago = ago.min(Duration::from_nanos(now.since(self.started)));
        Beginning {
            started: now.before(ago),
            // The wall clock may have been set back meanwhile.
            start_time: clock.wall(now).before(ago).max(self.start_time),
        }
    }

    /// Ends the call now and returns its emitter, or `None` if the call has ended before.
    pub(crate) fn end(&self, outcome: Outcome) -> Option<Arc<Emitter>> {
        self.end_locked(self.lock(), outcome, 0)
    }

    /// Like [`end`](Self::end), but the call ended some time ago, which is not before it began.
    #[cfg(any(test, all(feature = "turn", unix)))]
    pub(crate) fn end_since(&self, outcome: Outcome, ago: Duration) -> Option<Arc<Emitter>> {
        self.end_locked(self.lock(), outcome, saturating_nanos(ago))
    }

    /// Like [`end`](Self::end) with [`Outcome::Ok`], but leaves a call open that is to go on after the answer.
    pub(crate) fn end_unless_kept_open(&self) -> Option<Arc<Emitter>> {
        let open = self.lock();
        let annotations = open.annotations.as_ref();
        if annotations.is_some_and(|annotations| annotations.kept_open) {
            return None;
        }
        self.end_locked(open, Outcome::Ok, 0)
    }

    /// Ends the call some nanoseconds ago.
    #[inline]
    fn end_locked(
        &self,
        mut open: MutexGuard<'_, OpenState>,
        _outcome: Outcome,
        ago: u64,
    ) -> Option<Arc<Emitter>> {
        let emitter = open.emitter.take()?;
        let mut annotations = open.annotations.take();
        let (duration, suspension) = self.elapsed(&emitter.clock);
        if suspension > 0 {
            annotations.get_or_insert_default().suspension = suspension;
        }
        self.duration.store(duration.saturating_sub(ago), Relaxed);
        drop(open);
        #[cfg(all(feature = "turn", unix))]
        let annotations = self.with_phases(annotations, &emitter.clock, _outcome);
        if let Some(annotations) = annotations {
            // Cannot fail: only the one who took the emitter comes here.
            let _ = self.annotations.set(annotations);
        }
        Some(emitter)
    }

    /// Returns how long the call has taken until now, and how long the machine was suspended meanwhile, in
    /// nanoseconds.
    #[inline]
    fn elapsed(&self, clock: &Clock) -> (u64, u64) {
        let now = clock.now();
        let duration = now.since(self.started);
        (duration, clock.suspension(self.start_time, duration, now))
    }

    /// Keeps the call open after the answer. Returns `false` if it is kept open already, or has ended.
    pub(crate) fn keep_open(&self) -> bool {
        let mut first = false;
        self.annotate(|annotations| first = !std::mem::replace(&mut annotations.kept_open, true));
        first
    }

    /// Has a drop of the call be a failure, with the class that is set by then.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) fn fail_when_dropped(&self) {
        self.annotate(|annotations| annotations.fails_when_dropped = true);
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.duration.load(Relaxed) == STILL_OPEN
    }

    /// Returns the emitter while the call is open.
    pub(crate) fn emitter(&self) -> Option<Arc<Emitter>> {
        self.lock().emitter.clone()
    }

    /// Returns how long the call took. Only terminal events ask for it, and they are made after the end.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_nanos(self.duration.load(Relaxed))
    }

    /// Returns how long the call has been open until now; `None` if it has ended.
    pub(crate) fn age(&self) -> Option<Duration> {
        let open = self.lock();
        // The emitter is read, not cloned: to drop the last one would drop a sink, which may take time.
        let now = open.emitter.as_ref()?.clock.now();
        Some(Duration::from_nanos(now.since(self.started)))
    }

    /// Returns the annotations of a call that has ended.
    pub(crate) fn annotations(&self) -> Option<&Annotations> {
        self.annotations.get().map(|annotations| &**annotations)
    }

    /// Writes on the call; does nothing after its end.
    pub(crate) fn annotate(&self, write: impl FnOnce(&mut Annotations)) {
        let mut open = self.lock();
        if open.emitter.is_some() {
            write(open.annotations.get_or_insert_default());
        }
    }

    /// Sets an attribute; a value that is too long is cut.
    #[inline]
    pub(crate) fn set_attribute(&self, key: impl Into<Key>, value: impl Into<Value>) {
        // Not under the lock: the conversions are foreign code, and cutting copies.
        let mut attribute = KeyValue::new(key, value);
        cut(&mut attribute.value);
        self.annotate(|annotations| annotations.attributes.set(attribute));
    }

    /// Returns whether the call is open, and its sink wants content.
    pub(crate) fn captures_content(&self) -> bool {
        self.emitter()
            .is_some_and(|emitter| emitter.captures_content(self.flags.is_sampled()))
    }

    /// Sets a content if the sink wants it; a text that is too long is cut. Otherwise `content` does not run.
    pub(crate) fn set_content(&self, key: impl Into<Key>, content: impl FnOnce() -> String) {
        if !self.captures_content() {
            return;
        }
        let mut text = content();
        truncate(&mut text, MAX_CONTENT_LEN);
        let content = KeyValue::new(key, text);
        self.annotate(|annotations| annotations.content.get_or_insert_default().set(content));
    }

    pub(crate) fn classify(&self, mut classification: Classification) {
        if let Some(message) = &mut classification.message {
            truncate(message, MAX_TEXT_LEN);
        }
        self.annotate(|annotations| annotations.classification = Some(classification));
    }

    /// Adds a span event with the current time of the call's clock. Values that are too long are cut.
    pub(crate) fn add_span_event(
        &self,
        mut name: String,
        attributes: impl IntoIterator<Item = KeyValue>,
    ) {
        let Some(emitter) = self.emitter() else {
            return;
        };
        truncate(&mut name, MAX_TEXT_LEN);
        // Not under the lock: the iterator is foreign code, and cutting copies.
        let (attributes, dropped) = Attributes::from_iter(attributes).into_parts();
        // Like the time of the end, so that it is not outside of the call.
        let (duration, suspension) = self.elapsed(&emitter.clock);
        let since = Duration::from_nanos(duration.saturating_add(suspension));
        let time = self.start_time.to_system() + since;
        let event = SpanEvent::new(name, time, attributes, dropped);
        self.annotate(|annotations| {
            if annotations.span_events.len() < MAX_SPAN_EVENTS {
                annotations.span_events.push(event);
            } else {
                annotations.dropped_span_events = annotations.dropped_span_events.saturating_add(1);
            }
        });
    }

    /// Changes the ids that the terminal event shows.
    pub(crate) fn set_ids(&self, set: impl FnOnce(&mut CallIds)) {
        self.annotate(|annotations| {
            let ids = annotations
                .ids
                .get_or_insert_with(|| self.start.ids.clone().unwrap_or_default());
            let ids = Arc::make_mut(ids);
            set(ids);
            ids.cut();
        });
    }

    /// Returns the originator as it is known now.
    pub(crate) fn current_originator(&self) -> Option<Originator> {
        self.annotated(|annotations| annotations.originator.clone())
            .or_else(|| self.start.originator.clone())
    }

    /// Returns the ids as they are known now.
    pub(crate) fn current_ids(&self) -> Option<Arc<CallIds>> {
        self.annotated(|annotations| annotations.ids.clone())
            .or_else(|| self.start.ids.clone())
    }

    pub(super) fn annotated<T>(&self, read: impl Fn(&Annotations) -> Option<T>) -> Option<T> {
        let open = self.lock();
        read(open.annotations.as_deref().or_else(|| self.annotations())?)
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, OpenState> {
        // No code of a caller runs under the lock, so a panic cannot leave the state half-written.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the context of the call's own span.
    pub(crate) fn span_context(&self) -> SpanContext {
        let trace_state = self
            .remote_parent()
            .map(|parent| parent.trace_state().clone());
        SpanContext::new(
            self.trace_id,
            self.span_id,
            self.flags,
            false,
            trace_state.unwrap_or_default(),
        )
    }

    /// Returns the span that the request named as its parent.
    pub(crate) fn remote_parent(&self) -> Option<&SpanContext> {
        self.start.ids.as_ref()?.parent.as_ref()
    }
}

// === impl Beginning ===

impl Beginning {
    #[inline]
    pub(crate) fn now(clock: &Clock) -> Self {
        let started = clock.now();
        Self {
            started,
            start_time: clock.wall(started),
        }
    }
}

// === impl Annotations ===

#[cfg(feature = "otlp")]
impl Annotations {
    pub(crate) fn estimated_size(&self) -> usize {
        const SPAN_EVENT: usize = size_of::<SpanEvent>();
        let message = self
            .classification
            .as_ref()
            .and_then(|of| of.message.as_ref());
        let span_events = self
            .span_events
            .iter()
            .map(|event| SPAN_EVENT + event.name.len() + estimated_size(&event.attributes));
        let content = self.content.as_deref().map(Attributes::estimated_size);
        let phases = self.phases.as_deref().map(Phases::estimated_size);
        self.attributes.estimated_size()
            + content.unwrap_or_default()
            + phases.unwrap_or_default()
            + message.map_or(0, String::len)
            + span_events.sum::<usize>()
    }
}

// === impl CallStart ===

impl CallStart {
    /// Cuts a name and ids that are too long.
    #[inline]
    fn cut(&mut self) {
        if let Some(name) = &mut self.name {
            cut_text(name, MAX_NAME_LEN);
        }
        if let Some(ids) = &mut self.ids
            && ids.is_long()
        {
            // A copy: the request keeps its ids whole.
            Arc::make_mut(ids).cut();
        }
    }
}

// === impl CallIds ===

impl CallIds {
    #[inline]
    fn is_long(&self) -> bool {
        let is_long = |id: &Option<StringValue>| {
            id.as_ref()
                .is_some_and(|id| id.as_str().len() > MAX_NAME_LEN)
        };
        is_long(&self.thread_id) || is_long(&self.turn_id) || is_long(&self.call_id)
    }

    fn cut(&mut self) {
        let ids = [&mut self.thread_id, &mut self.turn_id, &mut self.call_id];
        for id in ids.into_iter().flatten() {
            cut_text(id, MAX_NAME_LEN);
        }
    }
}

/// Leaves out what services wrote, which may be long or confidential.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("operation", &self.start.operation)
            .field("name", &self.start.name)
            .field("trace_id", &self.trace_id)
            .field("span_id", &self.span_id)
            .finish_non_exhaustive()
    }
}
