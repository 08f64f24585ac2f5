use std::collections::HashMap;

use opentelemetry::{SpanId, TraceId};

use super::{span::Span, trace::Trace};

/// Spans by trace, one for each call: what its start and its end tell is joined.
#[derive(Debug, Default)]
pub(super) struct Spans {
    /// In the order in which the traces were first seen.
    traces: Vec<(TraceId, Vec<Span>)>,
    trace_index: HashMap<TraceId, usize>,
    span_index: HashMap<(TraceId, SpanId), usize>,
}

// === impl Spans ===

impl Spans {
    pub(super) fn add(&mut self, span: Span) {
        let index = *self.trace_index.entry(span.trace_id).or_insert_with(|| {
            self.traces.push((span.trace_id, Vec::new()));
            self.traces.len() - 1
        });
        let spans = &mut self.traces[index].1;
        let key = (span.trace_id, span.span_id);
        let Some(known) = self.span_index.get(&key) else {
            self.span_index.insert(key, spans.len());
            spans.push(span);
            return;
        };
        let known = &mut spans[*known];
        if span.end.is_some() {
            // The end has more than the start. When the call began, the start knows best.
            let start = known.start;
            *known = span;
            known.start = start;
        } else if known.end.is_some() {
            known.start = span.start;
        }
    }

    pub(super) fn into_traces(self) -> Vec<Trace> {
        let traces = self.traces.into_iter();
        traces.map(|(id, spans)| Trace::new(id, spans)).collect()
    }
}
