use std::{collections::HashMap, fmt, time::Duration};

use opentelemetry::{SpanId, TraceId};

use crate::event::{Event, millis};

/// How many columns the longest bar has.
const BAR: usize = 32;

/// A picture of traces as text: one line a call, nested as the calls were, each with a bar to scale.
///
/// Made by [`MemorySink::timeline`](super::MemorySink::timeline) or from any list of events, to be
/// read by a person, such as in the message of a failed assertion. Its form may change.
#[derive(Clone, Debug)]
pub struct Timeline {
    traces: Vec<Trace>,
}

#[derive(Clone, Debug)]
struct Trace {
    id: TraceId,
    /// Depth first, each call after its parent.
    rows: Vec<Row>,
    length: Duration,
}

#[derive(Clone, Debug)]
struct Row {
    depth: usize,
    label: String,
    /// From the start of the trace.
    start: Duration,
    /// `None` while the call is open.
    duration: Option<Duration>,
    ending: &'static str,
}

// === impl Timeline ===

impl Timeline {
    /// Returns the picture of every trace in `events`, in the order in which they began.
    #[must_use]
    pub fn new(events: &[Event]) -> Self {
        let mut ids: Vec<TraceId> = Vec::new();
        let mut by_trace: HashMap<TraceId, Vec<&Event>> = HashMap::new();
        for event in events {
            by_trace
                .entry(event.trace_id())
                .or_insert_with(|| {
                    ids.push(event.trace_id());
                    Vec::new()
                })
                .push(event);
        }
        let traces = ids.iter().map(|id| Trace::new(*id, &by_trace[id]));
        Self {
            traces: traces.collect(),
        }
    }

    /// Keeps the picture of one trace alone.
    #[must_use]
    pub fn of_trace(mut self, id: TraceId) -> Self {
        self.traces.retain(|trace| trace.id == id);
        self
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.traces.is_empty() {
            return f.write_str("(no events)\n");
        }
        self.traces
            .iter()
            .try_for_each(|trace| fmt::Display::fmt(trace, f))
    }
}

// === impl Trace ===

impl Trace {
    fn new(id: TraceId, events: &[&Event]) -> Self {
        // The last event of a call knows all that the first one knew.
        let mut order: Vec<SpanId> = Vec::new();
        let mut calls: HashMap<SpanId, &Event> = HashMap::new();
        for event in events {
            if calls.insert(event.span_id(), event).is_none() {
                order.push(event.span_id());
            }
        }
        order.sort_by_key(|span| calls[span].start_time());

        let begin = calls.values().map(|call| call.start_time()).min();
        let end = calls.values().map(|call| call.time()).max();
        let mut trace = Self {
            id,
            rows: Vec::with_capacity(order.len()),
            length: begin
                .zip(end)
                .and_then(|(begin, end)| end.duration_since(begin).ok())
                .unwrap_or_default(),
        };

        // A call whose parent is not in the picture is a root of it.
        let parent_of = |span: &SpanId| {
            let parent = calls[span].parent_span_id()?;
            calls.contains_key(&parent).then_some(parent)
        };
        let mut pending: Vec<(SpanId, usize)> = Vec::new();
        let push_children = |pending: &mut Vec<_>, of: Option<SpanId>, depth| {
            let children = order.iter().rev().filter(|span| parent_of(span) == of);
            pending.extend(children.map(|span| (*span, depth)));
        };
        push_children(&mut pending, None, 0);
        while let Some((span, depth)) = pending.pop() {
            let start = begin.and_then(|b| calls[&span].start_time().duration_since(b).ok());
            trace
                .rows
                .push(Row::new(calls[&span], depth, start.unwrap_or_default()));
            push_children(&mut pending, Some(span), depth + 1);
        }
        trace
    }

    /// How many columns of a bar `time` takes.
    fn columns(&self, time: Duration) -> usize {
        let columns = (time.as_nanos() * BAR as u128).checked_div(self.length.as_nanos());
        columns
            .and_then(|columns| usize::try_from(columns).ok())
            .map_or(0, |columns| columns.min(BAR))
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "trace {}  {}", self.id, Millis(self.length))?;
        let width = self.rows.iter().map(Row::width).max().unwrap_or_default();
        for row in &self.rows {
            let before = self.columns(row.start).min(BAR - 1);
            let until = self.columns(row.start + row.duration.unwrap_or_default());
            // A call that was too short to see still was.
            let bar = until.saturating_sub(before).max(1);
            write!(f, "  {:indent$}{}", "", row.label, indent = row.depth * 2)?;
            write!(f, "{:pad$}  ", "", pad = width - row.width())?;
            write!(f, "{:before$}{}", "", "█".repeat(bar))?;
            write!(f, "{:pad$}", "", pad = BAR.saturating_sub(before + bar))?;
            let duration = row.duration.map(|time| Millis(time).to_string());
            writeln!(f, "  {:>11}  {}", duration.unwrap_or_default(), row.ending)?;
        }
        Ok(())
    }
}

// === impl Row ===

impl Row {
    fn new(call: &Event, depth: usize, start: Duration) -> Self {
        let operation = call.operation().as_str();
        let label = match (call.call_name(), call.attempt()) {
            (None, 1) => operation.to_owned(),
            (Some(name), 1) => format!("{operation} {name}"),
            (None, attempt) => format!("{operation} #{attempt}"),
            (Some(name), attempt) => format!("{operation} {name} #{attempt}"),
        };
        let ending = match (call.error_class(), call.outcome()) {
            (Some(class), _) => class.as_str(),
            (None, Some(outcome)) => outcome.as_str(),
            (None, None) => "(open)",
        };
        Self {
            depth,
            label,
            start,
            duration: call.duration(),
            ending,
        }
    }

    fn width(&self) -> usize {
        self.depth * 2 + self.label.chars().count()
    }
}

/// Prints a duration in milliseconds.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ms", millis(self.0))
    }
}
