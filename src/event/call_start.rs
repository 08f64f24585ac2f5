use std::sync::Arc;

use opentelemetry::{SpanId, StringValue, TraceFlags, TraceId, trace::SpanContext};

#[cfg(all(feature = "turn", unix))]
use super::RecordHandle;
use super::{Operation, Originator, Ticket, attributes::cut_text};

/// The longest name or id of a call, in bytes. A model can make up any.
const MAX_NAME_LEN: usize = 256;

/// What a request says of its call.
pub(crate) struct CallStart {
    pub(crate) operation: Operation,
    pub(crate) name: Option<StringValue>,
    pub(crate) originator: Option<Originator>,
    pub(crate) ids: Option<Arc<CallIds>>,
    pub(crate) attempt: u32,
    /// The call of the same turn or tool that is open around this one, as around each attempt of a retry.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) outer: Option<RecordHandle>,
    /// Whether the call is made for a service that measures the phases of its turns.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) has_phases: bool,
}

/// The span that a call is a child of.
pub(crate) struct Parent {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) flags: TraceFlags,
    /// The agent on whose behalf the call is made; `None` if the span is of another process.
    pub(crate) agent: Option<Arc<Box<str>>>,
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

// === impl CallStart ===

impl CallStart {
    /// Cuts a name and ids that are too long.
    #[inline]
    pub(super) fn cut(&mut self) {
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

    pub(super) fn cut(&mut self) {
        let ids = [&mut self.thread_id, &mut self.turn_id, &mut self.call_id];
        for id in ids.into_iter().flatten() {
            cut_text(id, MAX_NAME_LEN);
        }
    }
}
