use std::{borrow::Cow, fmt, time::Duration};

use opentelemetry::{SpanId, StringValue, TraceId};

use crate::{
    event::{Event, Operation, Originator, Phase},
    timeline::printable,
};

/// A call that is active, as it was known when [`ActiveCalls`](crate::ActiveCalls) was asked.
///
/// It has what identifies a call, and neither attributes nor content.
///
/// `Display` prints one line: the age, the operation and the name, the phase or `-`, and what identifies the call as
/// `key=value`. The format may change. With the feature `json` it implements `serde::Serialize`: one flat object with the
/// keys of an [`Event`], `age_ms` and `phase`. An unknown value is absent.
///
/// ```
/// use codex_telemetry::{ActiveCall, ActiveCalls, Call, CallContext, Operation, TimingLayer};
/// use std::time::Duration;
/// use tower::{Layer, Service, service_fn};
///
/// /// Whether a supervisor should be told.
/// fn hangs(call: &ActiveCall) -> bool {
///     call.operation == Operation::Turn && call.age > Duration::from_secs(300)
/// }
///
/// let active = ActiveCalls::new();
/// let layer = TimingLayer::new(active.clone());
/// let mut service = layer.layer(service_fn(|_: Call<()>| std::future::pending::<Result<(), ()>>()));
/// let context = CallContext::new().with_thread_id("thread-7");
/// let response = service.call(Call::new(Operation::Turn, ()).with_context(context));
///
/// let [turn] = &active.snapshot()[..] else { panic!("one call is active") };
/// assert!(!hangs(turn));
/// let line = turn.to_string();
/// assert!(line.contains("codex.turn") && line.contains("thread_id=thread-7"));
/// # drop(response);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ActiveCall {
    /// The kind of work that the call does.
    pub operation: Operation,
    /// The name of the tool or the agent that was called.
    pub name: Option<String>,
    /// Who made the request.
    pub originator: Option<Originator>,
    /// The id of the Codex thread, which a new one has once Codex has told it.
    pub thread_id: Option<String>,
    /// The id of the turn, which it has once Codex has told it.
    pub turn_id: Option<String>,
    /// The id of the tool call.
    pub call_id: Option<String>,
    /// The id of the call's trace.
    pub trace_id: TraceId,
    /// The id of the call's span.
    pub span_id: SpanId,
    /// The id of the parent span.
    pub parent_span_id: Option<SpanId>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// How long the call has been active, by the monotonic clock that will measure its duration.
    pub age: Duration,
    /// What a turn of one of the crate's services spends its time on; `None` for other calls.
    pub phase: Option<Phase>,
}

// === impl ActiveCall ===

impl ActiveCall {
    /// Returns the call of an event as it is known now; `None` if it has ended.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let age = event.age()?;
        let phase = event.phase();
        let ids = event.current_ids();
        let id = |id: Option<&StringValue>| id.map(|id| id.as_str().to_owned());
        Some(Self {
            operation: event.operation(),
            name: event.call_name().map(str::to_owned),
            originator: event.current_originator(),
            thread_id: id(ids.as_ref().and_then(|ids| ids.thread_id.as_ref())),
            turn_id: id(ids.as_ref().and_then(|ids| ids.turn_id.as_ref())),
            call_id: id(ids.as_ref().and_then(|ids| ids.call_id.as_ref())),
            trace_id: event.trace_id(),
            span_id: event.span_id(),
            parent_span_id: event.parent_span_id(),
            attempt: event.attempt(),
            age,
            phase,
        })
    }

    /// Returns the columns of the call's line.
    pub(super) fn columns(&self) -> [String; 4] {
        let mut label = self.operation.as_str().to_owned();
        if let Some(name) = &self.name {
            label.push(' ');
            label.push_str(name);
        }
        let mut ids = format!("attempt={}", self.attempt);
        for (key, value) in self.ids() {
            ids += &format!(" {key}={value}");
        }
        let phase = self.phase.map_or("-", Phase::as_str);
        let age = format!("{:.3} s", self.age.as_secs_f64());
        // A model may choose a name or an id.
        [age, label, phase.to_owned(), ids].map(|text| printable(&text, usize::MAX))
    }

    /// Returns what identifies the call, by the keys of its JSON form.
    fn ids(&self) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        fn text(text: &Option<String>) -> Option<Cow<'_, str>> {
            text.as_deref().map(Cow::Borrowed)
        }

        let parent = self.parent_span_id.map(|id| id.to_string().into());
        let ids = [
            (
                "originator",
                self.originator.as_ref().map(|it| it.as_str().into()),
            ),
            ("thread_id", text(&self.thread_id)),
            ("turn_id", text(&self.turn_id)),
            ("call_id", text(&self.call_id)),
            ("trace_id", Some(self.trace_id.to_string().into())),
            ("span_id", Some(self.span_id.to_string().into())),
            ("parent_span_id", parent),
        ];
        ids.into_iter().filter_map(|(key, id)| Some((key, id?)))
    }
}

impl fmt::Display for ActiveCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.columns().join("  "))
    }
}

#[cfg(feature = "json")]
impl serde::Serialize for ActiveCall {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;

        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("operation", &self.operation)?;
        if let Some(name) = &self.name {
            map.serialize_entry("name", name)?;
        }
        map.serialize_entry("age_ms", &crate::event::millis(self.age))?;
        if let Some(phase) = &self.phase {
            map.serialize_entry("phase", phase)?;
        }
        for (key, id) in self.ids() {
            map.serialize_entry(key, &id)?;
        }
        map.serialize_entry("attempt", &self.attempt)?;
        map.end()
    }
}
