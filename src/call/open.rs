use std::sync::{Arc, Mutex, OnceLock};

use opentelemetry::{StringValue, trace::SpanContext};

use crate::{
    event::{Event, Identity, Notes, Operation, Originator, Outcome, Record, id},
    sink::Recorder,
};

/// A call that has begun: its record, and where its events go.
#[derive(Clone, Debug)]
pub(crate) struct OpenCall {
    record: Arc<Record>,
    recorder: Recorder,
}

/// What is known of a call before it begins.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) operation: Operation,
    pub(crate) name: Option<StringValue>,
    pub(crate) originator: Option<Originator>,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) attempt: u32,
}

impl OpenCall {
    /// Opens a call within `parent`, or else within the span that the request names as its parent, or
    /// else as the first of a new trace; emits its start.
    pub(crate) fn open(recorder: Recorder, opening: Opening, parent: Option<&Record>) -> Self {
        let (trace_id, parent_span_id, parent_flags) = match parent {
            Some(parent) => (parent.trace_id, Some(parent.span_id), Some(parent.flags)),
            None => match opening.remote_parent() {
                Some(parent) => (
                    parent.trace_id(),
                    Some(parent.span_id()),
                    Some(parent.trace_flags()),
                ),
                None => (id::trace_id(), None, None),
            },
        };
        let started = recorder.clock().now();
        let record = Arc::new(Record {
            operation: opening.operation,
            name: opening.name,
            originator: opening.originator,
            identity: opening.identity,
            attempt: opening.attempt,
            trace_id,
            span_id: id::span_id(),
            parent_span_id,
            flags: recorder.flags(trace_id, parent_flags),
            started,
            start_time: recorder.clock().wall(started),
            notes: Mutex::new(Notes::default()),
            end: OnceLock::new(),
        });
        recorder.emit(Event::start(Arc::clone(&record)));
        Self { record, recorder }
    }

    /// Opens a call within this one, by the same sink; `None` when nobody would hear of it.
    pub(crate) fn open_child(
        &self,
        operation: Operation,
        name: Option<StringValue>,
        call_id: Option<StringValue>,
    ) -> Option<Self> {
        if !self.record.is_open() || !self.recorder.enabled() {
            return None;
        }
        let identity = Identity {
            call_id,
            ..self
                .record
                .identity_now()
                .as_deref()
                .cloned()
                .unwrap_or_default()
        };
        let opening = Opening {
            operation,
            name,
            originator: self.record.originator_now(),
            identity: Some(Arc::new(identity)),
            attempt: 1,
        };
        let recorder = self.recorder.clone();
        Some(Self::open(recorder, opening, Some(&self.record)))
    }

    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.record
    }

    pub(crate) fn add_event(&self, event: impl Into<String>) {
        let clock = self.recorder.clock();
        let time = clock.wall(clock.now()).to_system();
        let event = opentelemetry::trace::Event::new(event.into(), time, Vec::new(), 0);
        self.record.add_event(event);
    }

    /// Closes the call and emits its terminal event, unless that was done before.
    pub(crate) fn close(&self, outcome: Outcome) {
        let now = self.recorder.clock().now();
        if self.record.close(now, outcome) {
            self.recorder
                .emit(Event::terminal(Arc::clone(&self.record), outcome));
        }
    }
}

impl Opening {
    fn remote_parent(&self) -> Option<&SpanContext> {
        self.identity.as_ref()?.parent.as_ref()
    }
}
