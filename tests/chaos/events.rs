//! The events of all lives, from the file that they have written, one after the other.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    ops::Range,
    path::Path,
};

use opentelemetry::SpanId;
use serde_json::Value;

use crate::{
    checked::{CallTracker, Fault},
    receiver::Span,
};

/// The root of the calls of a request. Its parent may be that of its client.
const REQUEST: &str = "http.request";

/// The events of a life.
pub(crate) struct Events {
    pub(crate) starts: u64,
    pub(crate) ends: u64,
    /// By span id.
    pub(crate) calls: HashMap<String, Call>,
}

/// A call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) operation: String,
    pub(crate) trace: String,
    pub(crate) parent: Option<String>,
    pub(crate) has_ended: bool,
}

// === impl Events ===

impl Events {
    /// Reads the part of a file that a life has written. Panics if its calls are wrong: only one that was killed has
    /// calls without an end.
    pub(crate) fn read(path: &Path, part: &Range<u64>, number: usize, is_killed: bool) -> Self {
        let file = fs::read(path).expect("the file of the events");
        let index = |position: u64| usize::try_from(position).expect("a file in memory");
        let text = &file[index(part.start)..index(part.end)];
        let text = str::from_utf8(text).expect("the events are UTF-8");
        let mut events = Self {
            starts: 0,
            ends: 0,
            calls: HashMap::new(),
        };
        let mut tracker = CallTracker::default();
        for line in text.split_inclusive('\n') {
            let is_last = !line.ends_with('\n');
            // Begins a new line after one that was cut.
            if line == "\n" {
                continue;
            }
            match serde_json::from_str(line) {
                Ok(event) => events.add(&event, &mut tracker, number),
                // The kernel may not have finished the last write of a process that was killed.
                Err(_) if is_killed && is_last => {}
                Err(error) => panic!("life {number}: {error} in the line {line}"),
            }
        }
        let has_open = is_killed && tracker.open() > 0;
        let expected: BTreeSet<_> = has_open.then_some(Fault::Open).into_iter().collect();
        tracker.check(&expected);
        events.check_open(number);
        events
    }

    fn add(&mut self, event: &Value, tracker: &mut CallTracker, number: usize) {
        let text = |key: &str| event[key].as_str().map(str::to_owned);
        let id = |key: &str| SpanId::from_hex(event[key].as_str()?).ok();
        let (Some(name), Some(span), Some(trace), Some(key)) = (
            text("event"),
            id("span_id"),
            text("trace_id"),
            text("span_id"),
        ) else {
            panic!("life {number}: {event} has no name or no ids");
        };
        let Some((operation, kind)) = name.rsplit_once('.') else {
            panic!("life {number}: {event} is no event of a call");
        };
        if kind != "start" {
            tracker.end(span, event.to_string());
            self.ends += 1;
            if let Some(call) = self.calls.get_mut(&key) {
                call.has_ended = true;
            }
            return;
        }
        let parent = text("parent_span_id");
        if let Some(parent) = &parent
            && operation != REQUEST
        {
            let known = self.calls.get(parent);
            assert!(
                known.is_some_and(|call| !call.has_ended && call.trace == trace),
                "life {number}: {event} starts without its parent, which is {known:?}"
            );
        }
        tracker.start(span, id("parent_span_id"), event.to_string());
        self.starts += 1;
        let call = Call {
            operation: operation.to_owned(),
            trace,
            parent,
            has_ended: false,
        };
        self.calls.insert(key, call);
    }

    /// Checks that the calls without an end are those that were active at once: the parent of one has no end, too.
    fn check_open(&self, number: usize) {
        for call in self.calls.values().filter(|call| !call.has_ended) {
            let parent = call.parent.as_ref().and_then(|id| self.calls.get(id));
            assert!(
                parent.is_none_or(|parent| !parent.has_ended),
                "life {number}: {call:?} was open at the kill, and its parent was not: {parent:?}"
            );
        }
    }

    pub(crate) fn open(&self) -> usize {
        self.calls.values().filter(|call| !call.has_ended).count()
    }

    /// Returns how many calls of an operation have ended.
    pub(crate) fn ended(&self, operation: &str) -> u64 {
        let calls = self.calls.values();
        let ended = calls.filter(|call| call.has_ended && call.operation == operation);
        ended.count() as u64
    }

    /// Returns the traces of the requests that were open.
    pub(crate) fn open_requests(&self) -> BTreeSet<&str> {
        let requests = self.calls.values();
        requests
            .filter(|call| call.operation == REQUEST && !call.has_ended)
            .map(|call| &*call.trace)
            .collect()
    }

    /// Returns how many of the received spans are of this life. Each is that of a call that has ended.
    pub(crate) fn received(&self, spans: &[Span]) -> u64 {
        let mut ids = BTreeSet::new();
        for span in spans {
            let Some(call) = self.calls.get(&span.span_id) else {
                continue;
            };
            assert!(
                call.has_ended && call.trace == span.trace_id && call.parent == span.parent_span_id,
                "the span {span:?} differs from the call {call:?}"
            );
            ids.insert(&span.span_id);
        }
        ids.len() as u64
    }
}
