use std::sync::Arc;

use opentelemetry::trace::Event as SpanEvent;

#[cfg(all(feature = "turn", unix))]
use super::PhaseLink;
#[cfg(feature = "otlp")]
use super::attributes::estimated_size;
use super::{CallIds, Originator, Phases, attributes::Attributes, error_class::Classification};

/// What layers and services write on an open call. Without `Debug`, since it may be confidential.
#[derive(Default)]
pub(crate) struct Annotations {
    /// Whether the call has any. Otherwise these wait for a call that uses its record again.
    pub(super) is_used: bool,
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
    pub(super) kept_open: bool,
    /// Whether a drop of the call is a failure, with the class that is set by then.
    pub(crate) fails_when_dropped: bool,
    #[cfg(all(feature = "turn", unix))]
    pub(super) phase_link: Option<PhaseLink>,
    /// Of a turn that has ended.
    pub(super) phases: Option<Box<Phases>>,
}

// === impl Annotations ===

impl Annotations {
    /// Empties the annotations for another call.
    pub(super) fn clear(&mut self) {
        self.is_used = false;
        self.attributes.clear();
        self.content = None;
        self.classification = None;
        self.originator = None;
        self.ids = None;
        self.span_events = Vec::new();
        self.dropped_span_events = 0;
        self.suspension = 0;
        self.kept_open = false;
        self.fails_when_dropped = false;
        #[cfg(all(feature = "turn", unix))]
        {
            self.phase_link = None;
        }
        self.phases = None;
    }

    #[cfg(feature = "otlp")]
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
