use std::{collections::HashMap, fmt, time::Duration};

use opentelemetry::{SpanId, TraceId};

use super::{
    bar::{Bar, COLUMNS},
    style::{Paint, Style},
};
use crate::event::{Event, Outcome, millis};

/// How many characters of a call's name are shown.
const LONGEST_LABEL: usize = 40;

/// The calls of one trace.
#[derive(Clone, Debug)]
pub(super) struct Trace {
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
    /// `None` while the call is open, as is the outcome.
    duration: Option<Duration>,
    outcome: Option<Outcome>,
    ending: &'static str,
}

// === impl Trace ===

impl Trace {
    pub(super) fn new(id: TraceId, events: &[&Event]) -> Self {
        let mut calls: HashMap<SpanId, &Event> = HashMap::new();
        let mut order: Vec<SpanId> = Vec::new();
        for event in events {
            let call = calls.entry(event.span_id()).or_insert_with(|| {
                order.push(event.span_id());
                event
            });
            // The end of a call knows all that its start did.
            if event.kind().is_terminal() {
                *call = event;
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
        let mut children: HashMap<Option<SpanId>, Vec<SpanId>> = HashMap::new();
        for span in &order {
            let parent = calls[span].parent_span_id();
            let parent = parent.filter(|parent| calls.contains_key(parent));
            children.entry(parent).or_default().push(*span);
        }
        let mut pending: Vec<(SpanId, usize)> = Vec::new();
        let mut push_children = |pending: &mut Vec<_>, of: Option<SpanId>, depth| {
            let children = children.remove(&of).unwrap_or_default();
            pending.extend(children.into_iter().rev().map(|span| (span, depth)));
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

    pub(super) fn id(&self) -> TraceId {
        self.id
    }

    pub(super) fn print(&self, f: &mut fmt::Formatter<'_>, paint: Paint) -> fmt::Result {
        let heading = format!("trace {}", self.id);
        writeln!(
            f,
            "{}  {}",
            paint.text(Style::HEADING, &heading),
            millis_text(self.length)
        )?;

        let labels: Vec<String> = self.rows.iter().map(Row::indented).collect();
        let times: Vec<String> = self.rows.iter().map(Row::time).collect();
        let (label_width, time_width) = (widest(&labels), widest(&times));
        for ((row, label), time) in self.rows.iter().zip(labels).zip(times) {
            let bar = Bar::new(row.start, row.duration, self.length);
            let before = " ".repeat(bar.before);
            let after = " ".repeat(COLUMNS - bar.before - bar.columns());
            let style = Style::of_ending(row.outcome);
            let (text, ending) = (bar.text(), paint.text(style, row.ending));
            let bar = paint.text(style, &text);
            writeln!(
                f,
                "  {label:label_width$}  {before}{bar}{after}  {time:>time_width$}  {ending}"
            )?;
        }
        Ok(())
    }
}

// === impl Row ===

impl Row {
    fn new(call: &Event, depth: usize, start: Duration) -> Self {
        let ending = match (call.error_class(), call.outcome()) {
            (Some(class), _) => class.as_str(),
            (None, Some(outcome)) => outcome.as_str(),
            (None, None) => "(open)",
        };
        Self {
            depth,
            label: label(call),
            start,
            duration: call.duration(),
            outcome: call.outcome(),
            ending,
        }
    }

    /// How long the call took; nothing while it is open.
    fn time(&self) -> String {
        self.duration.map(millis_text).unwrap_or_default()
    }

    fn indented(&self) -> String {
        "  ".repeat(self.depth) + &self.label
    }
}

/// What a call is called in the picture.
fn label(call: &Event) -> String {
    let mut label = call.operation().as_str().to_owned();
    if let Some(name) = call.call_name() {
        label.push(' ');
        label.push_str(name);
    }
    let attempt = match call.attempt() {
        1 => String::new(),
        attempt => format!(" #{attempt}"),
    };
    // The number of the attempt stays when the name is cut.
    let most = LONGEST_LABEL.saturating_sub(attempt.len());
    if label.chars().count() > most {
        label = label.chars().take(most - 1).collect();
        label.push('…');
    }
    // A name may come from a model, and a terminal obeys control characters.
    label.replace(char::is_control, "\u{fffd}") + &attempt
}

fn widest(texts: &[String]) -> usize {
    let widths = texts.iter().map(|text| text.chars().count());
    widths.max().unwrap_or_default()
}

fn millis_text(time: Duration) -> String {
    format!("{:.3} ms", millis(time))
}
