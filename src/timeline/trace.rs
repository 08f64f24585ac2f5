use std::{
    collections::{HashMap, HashSet},
    time::{Duration, SystemTime},
};

use opentelemetry::{SpanId, TraceId};

use super::{row::Row, span::Span};
use crate::event::ErrorClass;

/// The calls of one trace, and their layout.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    id: TraceId,
    spans: Vec<Span>,
    /// Depth first: each call is followed by its children.
    rows: Vec<Row>,
    duration: Duration,
}

// === impl Trace ===

impl Trace {
    pub(super) fn new(id: TraceId, mut spans: Vec<Span>) -> Self {
        spans.sort_by_key(|span| span.start);
        let start = spans.first().map(|span| span.start);
        let since_start = |time: SystemTime| {
            let duration = start.and_then(|start| time.duration_since(start).ok());
            duration.unwrap_or_default()
        };
        let end = spans.iter().map(Span::end_time).max();
        let duration = end.map(since_start).unwrap_or_default();
        let row =
            |(span, depth): (&Span, _)| Row::new(span, depth, since_start(span.start), duration);
        let rows = depth_first(&spans).into_iter().map(row).collect();
        Self {
            id,
            spans,
            rows,
            duration,
        }
    }

    pub(super) fn id(&self) -> TraceId {
        self.id
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Returns the time from the first start to the last event.
    pub(super) fn duration(&self) -> Duration {
        self.duration
    }

    pub(super) fn has_thread(&self, id: &str) -> bool {
        let mut spans = self.spans.iter();
        spans.any(|span| span.thread.as_deref() == Some(id))
    }

    pub(super) fn has_class(&self, class: ErrorClass) -> bool {
        self.spans.iter().any(|span| span.has_class(class))
    }
}

/// Returns all spans, each followed by its children, with their depths.
fn depth_first(spans: &[Span]) -> Vec<(&Span, usize)> {
    let known: HashSet<_> = spans.iter().map(|span| span.span_id).collect();
    let parent_of = |span: &Span| span.parent.filter(|parent| known.contains(parent));
    let mut children: HashMap<SpanId, Vec<&Span>> = HashMap::new();
    // The last child comes first, because `pending` is a stack.
    for span in spans.iter().rev() {
        if let Some(parent) = parent_of(span) {
            children.entry(parent).or_default().push(span);
        }
    }
    let roots = spans.iter().filter(|span| parent_of(span).is_none());
    // Broken lines may have a call that is its own ancestor. No root leads there, so the first call of such a loop is
    // one: by then, all others are placed.
    let roots = roots.chain(spans);
    let mut placed = HashSet::with_capacity(spans.len());
    let mut ordered = Vec::with_capacity(spans.len());
    for root in roots {
        let mut pending = vec![(root, 0)];
        while let Some((span, depth)) = pending.pop() {
            if placed.insert(span.span_id) {
                ordered.push((span, depth));
                let inner = children.remove(&span.span_id).unwrap_or_default();
                pending.extend(inner.into_iter().map(|child| (child, depth + 1)));
            }
        }
    }
    ordered
}
