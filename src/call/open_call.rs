use std::{sync::Arc, time::Duration};

use opentelemetry::StringValue;

use crate::event::{CallIds, CallStart, Emitter, Event, Operation, Outcome, Parent, Record};

/// A call that has begun.
#[derive(Clone, Debug)]
pub(crate) struct OpenCall(Arc<Record>);

impl OpenCall {
    /// Opens a call and emits its start. The parent is the open call if there is one, or else the span that
    /// the request names.
    pub(crate) fn open(emitter: &Arc<Emitter>, start: CallStart, parent: Option<&Record>) -> Self {
        Self::open_since(Duration::ZERO, emitter, start, parent)
    }

    #[inline]
    fn open_since(
        ago: Duration,
        emitter: &Arc<Emitter>,
        start: CallStart,
        parent: Option<&Record>,
    ) -> Self {
        let named = || start.ids.as_ref()?.parent.as_ref();
        let parent = match parent {
            Some(call) => Some(Parent {
                trace_id: call.trace_id,
                span_id: call.span_id,
                flags: call.flags,
                agent: call.agent.clone(),
            }),
            None => named().map(|span| Parent {
                trace_id: span.trace_id(),
                span_id: span.span_id(),
                flags: span.trace_flags(),
                agent: None,
            }),
        };
        let record = Record::begin(start, parent, Arc::clone(emitter), ago);
        emitter.emit(Event::start(Arc::clone(&record)));
        Self(record)
    }

    /// Opens a child call with the same sink. Returns `None` if this call has ended or the sink is off.
    pub(crate) fn open_child(
        &self,
        operation: Operation,
        name: Option<StringValue>,
        call_id: Option<StringValue>,
    ) -> Option<Self> {
        self.open_child_at(Duration::ZERO, operation, name, call_id)
    }

    /// Like [`open_child`](Self::open_child), but the call began some time ago.
    pub(crate) fn open_child_since(
        &self,
        ago: Duration,
        operation: Operation,
        name: Option<StringValue>,
    ) -> Option<Self> {
        self.open_child_at(ago, operation, name, None)
    }

    fn open_child_at(
        &self,
        ago: Duration,
        operation: Operation,
        name: Option<StringValue>,
        call_id: Option<StringValue>,
    ) -> Option<Self> {
        let emitter = self.0.emitter().filter(|emitter| emitter.enabled())?;
        let inherited = self.0.current_ids();
        let ids = CallIds {
            call_id,
            ..inherited.as_deref().cloned().unwrap_or_default()
        };
        let start = CallStart {
            operation,
            name,
            originator: self.0.current_originator(),
            ids: Some(Arc::new(ids)),
            attempt: 1,
        };
        Some(Self::open_since(ago, &emitter, start, Some(&self.0)))
    }

    #[inline]
    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.0
    }

    /// Ends the call and emits its terminal event, unless it has ended before.
    #[inline]
    pub(crate) fn end(self, outcome: Outcome) {
        self.end_since(Duration::ZERO, outcome);
    }

    /// Like [`end`](Self::end), but the call ended some time ago.
    #[inline]
    pub(crate) fn end_since(self, ago: Duration, outcome: Outcome) {
        if let Some(emitter) = self.0.end(ago) {
            emitter.emit(Event::terminal(self.0, outcome));
        }
    }

    /// Like [`end`](Self::end) with [`Outcome::Ok`], but leaves a call open that is to go on after the
    /// answer.
    #[inline]
    pub(crate) fn answered(self) {
        if let Some(emitter) = self.0.end_unless_kept_open() {
            emitter.emit(Event::terminal(self.0, Outcome::Ok));
        }
    }
}
