use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::print;

/// The most bytes of lines that wait for the end of their trace. Beyond them, the oldest trace is given up: its process
/// has probably been killed.
const MAX_BYTES: usize = 64 << 20;

/// Traces of which a root call has not ended.
#[derive(Default)]
pub(crate) struct OpenTraces {
    traces: HashMap<String, OpenTrace>,
    bytes: usize,
    /// The number of traces so far.
    begun: u64,
}

#[derive(Default)]
struct OpenTrace {
    number: u64,
    lines: Vec<u8>,
    spans: HashSet<String>,
    open_roots: HashSet<String>,
}

#[derive(Deserialize)]
struct Line {
    event: String,
    trace_id: String,
    span_id: String,
    parent_span_id: Option<String>,
}

// === impl OpenTraces ===

impl OpenTraces {
    /// Adds a line. Returns the lines of its trace if that has no open root call any more.
    ///
    /// A root is a call whose parent is not in the file. The line of a parent's start comes before those of its children.
    ///
    /// # Errors
    ///
    /// The line is not one of an event.
    pub(crate) fn add(&mut self, line: &[u8]) -> Result<Option<Vec<u8>>, serde_json::Error> {
        let Line {
            event,
            trace_id,
            span_id,
            parent_span_id,
        } = serde_json::from_slice(line)?;
        let trace = self.traces.entry(trace_id.clone()).or_insert_with(|| {
            self.begun += 1;
            OpenTrace {
                number: self.begun,
                ..OpenTrace::default()
            }
        });
        trace.lines.extend_from_slice(line);
        trace.lines.push(b'\n');
        self.bytes += line.len() + 1;

        let is_new = trace.spans.insert(span_id.clone());
        let is_root = parent_span_id.is_none_or(|parent| !trace.spans.contains(&parent));
        if event.ends_with(".start") {
            if is_new && is_root {
                trace.open_roots.insert(span_id);
            }
        } else if (trace.open_roots.remove(&span_id) || is_new && is_root)
            && trace.open_roots.is_empty()
        {
            return Ok(self.remove(&trace_id));
        }
        if self.bytes > MAX_BYTES {
            let oldest = self.traces.iter().min_by_key(|(_, trace)| trace.number);
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                self.remove(&id);
                print("timeline: gave up the oldest trace that has not ended, to save memory");
            }
        }
        Ok(None)
    }

    /// Returns the lines of all traces that are left, the oldest first.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut left: Vec<_> = self.traces.drain().map(|(_, trace)| trace).collect();
        left.sort_by_key(|trace| trace.number);
        self.bytes = 0;
        left.into_iter().flat_map(|trace| trace.lines).collect()
    }

    fn remove(&mut self, trace_id: &str) -> Option<Vec<u8>> {
        let trace = self.traces.remove(trace_id)?;
        self.bytes -= trace.lines.len();
        Some(trace.lines)
    }
}
