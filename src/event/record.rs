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

use super::{
    Annotations, CallIds, CallStart, Emitter, Interest, Parent,
    attributes::{Attributes, cut},
    clock::{Clock, Tick, WallTime},
    error_class::Classification,
    id,
    operation::Operation,
    originator::Originator,
    record_pool,
    text::truncate,
};

/// The longest error message or span event name, in bytes.
const MAX_TEXT_LEN: usize = 4096;
/// The most span events that one call keeps, as in OpenTelemetry's span limits.
const MAX_SPAN_EVENTS: usize = 128;
/// The longest content, such as a message, in bytes.
pub(super) const MAX_CONTENT_LEN: usize = 64 * 1024;
/// The `duration` of a call that has not ended.
const STILL_OPEN: u64 = u64::MAX;

/// Everything that is known of one call: one allocation, shared by the open call, which writes it, and by
/// the events, which read it.
///
/// It has the fields of a [`CallStart`] and not one as a whole, so that the small ones share a word.
pub(crate) struct Record {
    pub(crate) operation: Operation,
    pub(crate) name: Option<StringValue>,
    pub(crate) originator: Option<Originator>,
    pub(crate) ids: Option<Arc<CallIds>>,
    pub(crate) attempt: u32,
    /// The call of the same turn or tool that is open around this one, as around each attempt of a retry.
    #[cfg(all(feature = "turn", unix))]
    pub(super) outer: Option<RecordHandle>,
    /// Whether the call is made for a service that measures the phases of its turns.
    #[cfg(all(feature = "turn", unix))]
    pub(super) has_phases: bool,
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    /// `INVALID` for the root span of a trace.
    pub(crate) parent_span_id: SpanId,
    pub(crate) flags: TraceFlags,
    /// What the sink wanted when the call began.
    pub(super) interest: Interest,
    /// The agent of the turn that this call is, or is a part of. Shared with the calls of the turn.
    pub(crate) agent: Option<Arc<Box<str>>>,
    pub(super) began: Beginning,
    pub(super) open: Mutex<OpenState>,
    /// In nanoseconds, or [`STILL_OPEN`].
    pub(super) duration: AtomicU64,
    /// The annotations at the end of the call. Boxed, since most calls have none.
    pub(super) annotations: OnceLock<Box<Annotations>>,
}

/// When a call began, by both clocks.
#[derive(Clone, Copy, Default)]
pub(crate) struct Beginning {
    pub(super) tick: Tick,
    pub(crate) wall: WallTime,
}

/// The state of a call that has not ended.
#[derive(Default)]
pub(super) struct OpenState {
    /// A call ends only once because its emitter can be taken only once. And because it is taken, events
    /// that a sink keeps do not keep the sink alive.
    pub(super) emitter: Option<Arc<Emitter>>,
    /// What was noted, or the empty one of an earlier call, which is not in use.
    annotations: Option<Box<Annotations>>,
}

/// A handle of a record. It finds that it is the only one without an atomic operation, since it has no weak kind: not as
/// the one of the standard library.
pub(crate) type RecordHandle = triomphe::Arc<Record>;

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
        interest: Interest,
        begins: impl FnOnce(&Clock) -> Beginning,
    ) -> RecordHandle {
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
        let agent = match (start.operation, &start.name) {
            (Operation::Turn, name) => name.as_ref().map(|name| Arc::new(name.as_str().into())),
            _ => agent,
        };
        let flags = emitter.flags(trace_id, parent_flags);
        let mut handle = record_pool::take();
        let Some(record) = RecordHandle::get_mut(&mut handle) else {
            unreachable!("a record in the pool has one handle");
        };
        record.operation = start.operation;
        record.name = start.name;
        record.originator = start.originator;
        record.ids = start.ids;
        record.attempt = start.attempt;
        #[cfg(all(feature = "turn", unix))]
        {
            record.outer = start.outer;
            record.has_phases = start.has_phases;
        }
        record.trace_id = trace_id;
        record.span_id = id::span_id();
        record.parent_span_id = parent_span_id;
        record.flags = flags;
        record.interest = interest;
        record.agent = agent;
        record.began = begins(&emitter.clock);
        *record.duration.get_mut() = STILL_OPEN;
        record.open_mut().emitter = Some(emitter);
        handle
    }

    /// Returns a record of no call.
    pub(super) fn blank() -> Self {
        Self {
            operation: Operation::Turn,
            name: None,
            originator: None,
            ids: None,
            attempt: 1,
            #[cfg(all(feature = "turn", unix))]
            outer: None,
            #[cfg(all(feature = "turn", unix))]
            has_phases: false,
            trace_id: TraceId::INVALID,
            span_id: SpanId::INVALID,
            parent_span_id: SpanId::INVALID,
            flags: TraceFlags::NOT_SAMPLED,
            interest: Interest::NONE,
            agent: None,
            began: Beginning::default(),
            open: Mutex::default(),
            duration: AtomicU64::new(STILL_OPEN),
            annotations: OnceLock::new(),
        }
    }

    /// Returns when a child of this call began some time ago, which is not before this call.
    #[cfg(any(test, all(feature = "turn", unix)))]
    pub(crate) fn beginning_of_child(&self, clock: &Clock, ago: Duration) -> Beginning {
        let now = clock.now();
        let ago = ago.min(Duration::from_nanos(now.since(self.began.tick)));
        Beginning {
            tick: now.before(ago),
            // The wall clock may have been set back meanwhile.
            wall: clock.wall(now).before(ago).max(self.began.wall),
        }
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
    #[inline]
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_nanos(self.duration.load(Relaxed))
    }

    /// Returns how long the call has been open until now; `None` if it has ended.
    pub(crate) fn age(&self) -> Option<Duration> {
        let open = self.lock();
        // The emitter is read, not cloned: to drop the last one would drop a sink, which may take time.
        let now = open.emitter.as_ref()?.clock.now();
        Some(Duration::from_nanos(now.since(self.began.tick)))
    }

    /// Returns the annotations of a call that has ended.
    #[inline]
    pub(crate) fn annotations(&self) -> Option<&Annotations> {
        self.annotations.get().map(|annotations| &**annotations)
    }

    /// Writes on the call; does nothing after its end.
    pub(crate) fn annotate(&self, write: impl FnOnce(&mut Annotations)) {
        let mut open = self.lock();
        if open.emitter.is_some() {
            write(open.annotate());
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
        let (duration, suspension) = self.began.elapsed(&emitter.clock);
        let since = Duration::from_nanos(duration.saturating_add(suspension));
        let time = self.began.wall.to_system() + since;
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
                .get_or_insert_with(|| self.ids.clone().unwrap_or_default());
            let ids = Arc::make_mut(ids);
            set(ids);
            ids.cut();
        });
    }

    /// Returns the originator as it is known now.
    pub(crate) fn current_originator(&self) -> Option<Originator> {
        self.annotated(|annotations| annotations.originator.clone())
            .or_else(|| self.originator.clone())
    }

    /// Returns the ids as they are known now.
    pub(crate) fn current_ids(&self) -> Option<Arc<CallIds>> {
        self.annotated(|annotations| annotations.ids.clone())
            .or_else(|| self.ids.clone())
    }

    pub(super) fn annotated<T>(&self, read: impl Fn(&Annotations) -> Option<T>) -> Option<T> {
        let open = self.lock();
        read(open.annotations().or_else(|| self.annotations())?)
    }

    /// Returns whether the record holds anything that a request or a service made.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        #[cfg(all(feature = "turn", unix))]
        if self.outer.is_some() {
            return false;
        }
        self.name.is_none()
            && self.ids.is_none()
            && self.agent.is_none()
            && !matches!(self.originator, Some(Originator::Named(_)))
            && self.annotations.get().is_none()
    }

    /// Drops what a request and services made.
    pub(super) fn clear(&mut self) {
        self.name = None;
        self.originator = None;
        self.ids = None;
        #[cfg(all(feature = "turn", unix))]
        {
            self.outer = None;
        }
        self.agent = None;
        let annotations = self.annotations.take();
        let open = self.open_mut();
        open.emitter = None;
        if let Some(mut annotations) = annotations {
            annotations.clear();
            open.annotations = Some(annotations);
        }
    }

    #[inline]
    pub(super) fn open_mut(&mut self) -> &mut OpenState {
        let open = self.open.get_mut();
        open.unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, OpenState> {
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
        self.ids.as_ref()?.parent.as_ref()
    }
}

// === impl OpenState ===

impl OpenState {
    #[inline]
    pub(super) fn annotations(&self) -> Option<&Annotations> {
        self.annotations.as_deref().filter(|of| of.is_used)
    }

    /// Returns the annotations to write on.
    #[inline]
    pub(super) fn annotate(&mut self) -> &mut Annotations {
        let annotations = self.annotations.get_or_insert_default();
        annotations.is_used = true;
        annotations
    }

    /// Takes what was noted.
    #[inline]
    pub(super) fn take_annotations(&mut self) -> Option<Box<Annotations>> {
        self.annotations.take_if(|of| of.is_used)
    }
}

// === impl Beginning ===

impl Beginning {
    #[inline]
    pub(crate) fn now(clock: &Clock) -> Self {
        let tick = clock.now();
        Self {
            tick,
            wall: clock.wall(tick),
        }
    }

    /// Returns how long the call has taken until now, and how long the machine was suspended meanwhile, in
    /// nanoseconds.
    #[inline]
    pub(super) fn elapsed(self, clock: &Clock) -> (u64, u64) {
        let now = clock.now();
        let duration = now.since(self.tick);
        (duration, clock.suspension(self.wall, duration, now))
    }
}

/// Leaves out what services wrote, which may be long or confidential.
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
