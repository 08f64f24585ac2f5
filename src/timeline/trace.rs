use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use opentelemetry::TraceId;

use super::{
    bar::{Bar, COLUMNS},
    color::Color,
};
use crate::event::{Event, Outcome, millis};

/// The maximum number of characters in the label of a call.
const MAX_LABEL_CHARS: usize = 40;

/// The calls of one trace.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    id: TraceId,
    /// Depth first: each call is followed by its children.
    rows: Vec<Row>,
    duration: Duration,
}

#[derive(Clone, Debug)]
struct Row {
    /// Indented by the depth of the call.
    label: String,
    /// Since the start of the trace.
    start: Duration,
    /// `None` while the call is open.
    duration: Option<Duration>,
    /// `None` while the call is open.
    outcome: Option<Outcome>,
    /// The text at the end of the line.
    result: &'static str,
}

// === impl Trace ===

impl Trace {
    pub(super) fn new(id: TraceId, events: &[&Event]) -> Self {
        // One event for each call: the terminal event if there is one, because it has more.
        let mut calls: Vec<&Event> = Vec::new();
        let mut indexes = HashMap::new();
        for event in events {
            let index = *indexes.entry(event.span_id()).or_insert_with(|| {
                calls.push(event);
                calls.len() - 1
            });
            if event.kind().is_terminal() {
                calls[index] = event;
            }
        }
        calls.sort_by_key(|call| call.start_time());

        let start = calls.first().map(|call| call.start_time());
        let since_start = |time: SystemTime| {
            let duration = start.and_then(|start| time.duration_since(start).ok());
            duration.unwrap_or_default()
        };
        let end = calls.iter().map(|call| call.time()).max();

        // The last child comes first, because `pending` is a stack.
        let mut children: HashMap<_, Vec<&Event>> = HashMap::new();
        for call in calls.iter().rev() {
            let parent = call.parent_span_id();
            let parent = parent.filter(|parent| indexes.contains_key(parent));
            children.entry(parent).or_default().push(call);
        }
        let mut children = |parent| children.remove(&parent).unwrap_or_default().into_iter();
        let mut rows = Vec::with_capacity(calls.len());
        let mut pending: Vec<_> = children(None).map(|root| (root, 0)).collect();
        while let Some((call, depth)) = pending.pop() {
            rows.push(Row::new(call, depth, since_start(call.start_time())));
            pending.extend(children(Some(call.span_id())).map(|child| (child, depth + 1)));
        }
        Self {
            id,
            rows,
            duration: end.map(since_start).unwrap_or_default(),
        }
    }

    pub(super) fn id(&self) -> TraceId {
        self.id
    }

    pub(super) fn render(&self, color: Color) -> String {
        let heading = color.heading(&format!("trace {}", self.id));
        let mut text = format!("{heading}  {}\n", millis_text(self.duration));

        let durations: Vec<_> = self.rows.iter().map(Row::duration_text).collect();
        let label_width = max_width(self.rows.iter().map(|row| &row.label));
        let duration_width = max_width(&durations);
        for (row, duration) in self.rows.iter().zip(durations) {
            let bar = Bar::new(row.start, row.duration, self.duration);
            let before = " ".repeat(bar.offset);
            let after = " ".repeat(COLUMNS - bar.offset - bar.columns());
            let bar = color.outcome(row.outcome, &bar.text());
            let result = color.outcome(row.outcome, row.result);
            let label = &row.label;
            text += &format!(
                "  {label:label_width$}  {before}{bar}{after}  {duration:>duration_width$}  {result}\n"
            );
        }
        text
    }
}

// === impl Row ===

impl Row {
    fn new(call: &Event, depth: usize, start: Duration) -> Self {
        let result = match (call.error_class(), call.outcome()) {
            (Some(class), _) => class.as_str(),
            (None, Some(outcome)) => outcome.as_str(),
            (None, None) => "(open)",
        };
        Self {
            label: "  ".repeat(depth) + &label(call),
            start,
            duration: call.duration(),
            outcome: call.outcome(),
            result,
        }
    }

    /// Returns an empty string while the call is open.
    fn duration_text(&self) -> String {
        self.duration.map(millis_text).unwrap_or_default()
    }
}

/// Returns the operation, the name and, for a retry, the number of the attempt.
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
    // Shorten the name, not the attempt.
    let max_chars = MAX_LABEL_CHARS.saturating_sub(attempt.len());
    if label.chars().count() > max_chars {
        label = label.chars().take(max_chars - 1).collect();
        label.push('…');
    }
    // A model may choose the name, and a terminal interprets control characters.
    label.replace(char::is_control, "\u{fffd}") + &attempt
}

fn max_width<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    let widths = texts.into_iter().map(|text| text.chars().count());
    widths.max().unwrap_or_default()
}

fn millis_text(duration: Duration) -> String {
    format!("{:.3} ms", millis(duration))
}
