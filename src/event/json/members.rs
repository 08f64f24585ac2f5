use std::time::Duration;

use opentelemetry::{KeyValue, SpanId, TraceId, trace};

use crate::event::{Event, EventKind, Operation, Phases};

/// The key of a member, as it is written: `,"key":`.
#[derive(Clone, Copy)]
pub(super) struct Key(&'static str);

/// What receives the members of an event's object, in the order in which they are written.
///
/// A caller may have given each text, unless a method says that it needs no escape.
pub(super) trait Members {
    type Error;

    fn text(&mut self, key: Key, text: &str) -> Result<(), Self::Error>;

    /// A text of this crate, or of characters that it has checked: it needs no escape.
    fn plain(&mut self, key: Key, text: &str) -> Result<(), Self::Error>;

    fn event_name(
        &mut self,
        key: Key,
        operation: Operation,
        kind: EventKind,
    ) -> Result<(), Self::Error>;

    /// A time since the Unix epoch.
    fn time(&mut self, key: Key, time: Duration) -> Result<(), Self::Error>;

    fn millis(&mut self, key: Key, duration: Duration) -> Result<(), Self::Error>;

    fn number(&mut self, key: Key, number: u32) -> Result<(), Self::Error>;

    fn trace_id(&mut self, key: Key, id: TraceId) -> Result<(), Self::Error>;

    fn span_id(&mut self, key: Key, id: SpanId) -> Result<(), Self::Error>;

    fn attributes(&mut self, key: Key, attributes: &[KeyValue]) -> Result<(), Self::Error>;

    fn phases(&mut self, key: Key, phases: &Phases) -> Result<(), Self::Error>;

    fn span_events(&mut self, key: Key, events: &[trace::Event]) -> Result<(), Self::Error>;
}

/// Returns a key, which needs no escape.
macro_rules! key {
    ($name:literal) => {
        Key(concat!(",\"", $name, "\":"))
    };
}

// === impl Key ===

impl Key {
    pub(super) fn name(self) -> &'static str {
        &self.0[2..self.0.len() - 2]
    }

    #[inline]
    pub(super) fn as_written(self) -> &'static str {
        self.0
    }
}

/// Passes the members of an event's object. An unknown value is absent, never null.
#[inline(always)]
pub(super) fn describe<M: Members>(event: &Event, to: &mut M) -> Result<(), M::Error> {
    to.event_name(key!("event"), event.operation(), event.kind())?;
    to.time(key!("time"), event.time_since_epoch())?;
    to.plain(key!("severity"), event.severity().as_str())?;
    if let (Some(outcome), Some(duration)) = (event.outcome(), event.duration()) {
        to.millis(key!("duration_ms"), duration)?;
        to.plain(key!("outcome"), outcome.as_str())?;
        if let Some(class) = event.error_class() {
            to.text(key!("error_class"), class.as_str())?;
        }
        if let Some(message) = event.error_message() {
            to.text(key!("error_message"), message)?;
        }
        if let Some(duration) = event.retry_after() {
            to.millis(key!("retry_after_ms"), duration)?;
        }
    }
    if let Some(originator) = event.originator() {
        to.plain(key!("originator"), originator.as_str())?;
    }
    to.trace_id(key!("trace_id"), event.trace_id())?;
    to.span_id(key!("span_id"), event.span_id())?;
    if let Some(parent) = event.parent_span_id() {
        to.span_id(key!("parent_span_id"), parent)?;
    }
    if let Some(name) = event.call_name() {
        to.text(key!("name"), name)?;
    }
    if let Some(id) = event.thread_id() {
        to.text(key!("thread_id"), id)?;
    }
    if let Some(id) = event.turn_id() {
        to.text(key!("turn_id"), id)?;
    }
    if let Some(id) = event.call_id() {
        to.text(key!("call_id"), id)?;
    }
    to.number(key!("attempt"), event.attempt())?;
    if event.outcome().is_none() {
        // What follows is learned during the call.
        return Ok(());
    }
    if !event.attributes().is_empty() {
        to.attributes(key!("attributes"), event.attributes())?;
    }
    if let Some(phases) = event.phases() {
        to.phases(key!("phases"), phases)?;
    }
    if !event.span_events().is_empty() {
        to.span_events(key!("span_events"), event.span_events())?;
    }
    if event.dropped_attributes() > 0 {
        to.number(key!("dropped_attributes"), event.dropped_attributes())?;
    }
    if event.dropped_span_events() > 0 {
        to.number(key!("dropped_span_events"), event.dropped_span_events())?;
    }
    Ok(())
}
