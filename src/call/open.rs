use std::sync::Arc;

use opentelemetry::{StringValue, trace::SpanContext};

use crate::event::{Event, Identity, Opening, Operation, Outcome, Place, Record, Recorder, id};

/// A call that has begun.
#[derive(Clone, Debug)]
pub(crate) struct OpenCall(Arc<Record>);

impl OpenCall {
    /// Opens a call within `parent`, or else within the span that the request names as its parent, or
    /// else as the first of a new trace; emits its start.
    pub(crate) fn open(
        recorder: &Arc<Recorder>,
        opening: Opening,
        parent: Option<&Record>,
    ) -> Self {
        let (trace_id, parent_span_id, parent_flags) = match parent {
            Some(parent) => (parent.trace_id, Some(parent.span_id), Some(parent.flags)),
            None => match remote_parent(&opening) {
                Some(parent) => (
                    parent.trace_id(),
                    Some(parent.span_id()),
                    Some(parent.trace_flags()),
                ),
                None => (id::trace_id(), None, None),
            },
        };
        let place = Place {
            trace_id,
            parent_span_id,
            flags: recorder.flags(trace_id, parent_flags),
        };
        let record = Record::begin(opening, &place, Arc::clone(recorder));
        recorder.emit(Event::start(Arc::clone(&record)));
        Self(record)
    }

    /// Opens a call within this one, by the same sink; `None` when nobody would hear of it.
    pub(crate) fn open_child(
        &self,
        operation: Operation,
        name: Option<StringValue>,
        call_id: Option<StringValue>,
    ) -> Option<Self> {
        let recorder = self.0.recorder().filter(|recorder| recorder.enabled())?;
        let known = self.0.identity_now();
        let identity = Identity {
            call_id,
            ..known.as_deref().cloned().unwrap_or_default()
        };
        let opening = Opening {
            operation,
            name,
            originator: self.0.originator_now(),
            identity: Some(Arc::new(identity)),
            attempt: 1,
        };
        Some(Self::open(&recorder, opening, Some(&self.0)))
    }

    #[inline]
    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.0
    }

    pub(crate) fn add_event(&self, event: impl Into<String>) {
        let Some(recorder) = self.0.recorder() else {
            return;
        };
        let clock = &recorder.clock;
        let time = clock.wall(clock.now()).to_system();
        let event = opentelemetry::trace::Event::new(event.into(), time, Vec::new(), 0);
        self.0.add_event(event);
    }

    /// Closes the call and emits its terminal event, unless that was done before.
    #[inline]
    pub(crate) fn close(self, outcome: Outcome) {
        if let Some(recorder) = self.0.end() {
            recorder.emit(Event::terminal(self.0, outcome));
        }
    }
}

fn remote_parent(opening: &Opening) -> Option<&SpanContext> {
    opening.identity.as_ref()?.parent.as_ref()
}
