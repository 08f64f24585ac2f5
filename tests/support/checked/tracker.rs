use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
};

use codex_telemetry::Event;
use opentelemetry::SpanId;

/// What can be wrong with the events of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A start without an end.
    Open,
    /// An end without a start before it.
    NoStart,
    TwoStarts,
    TwoEnds,
    /// An end after the end of the parent call.
    OutlivedParent,
}

/// Tracks calls by their events, and collects faults.
#[derive(Debug, Default)]
pub(crate) struct CallTracker {
    calls: HashMap<SpanId, Call>,
    faults: Vec<(Fault, String)>,
}

#[derive(Debug)]
struct Call {
    label: String,
    parent: Option<SpanId>,
    ended: bool,
}

impl CallTracker {
    /// Tracks an event, of a sink that does or does not get start events.
    pub(crate) fn event(&mut self, event: &Event, has_starts: bool) {
        let label = format!("{event:?}");
        if event.kind().is_terminal() {
            if !has_starts && !self.calls.contains_key(&event.span_id()) {
                self.start(event.span_id(), event.parent_span_id(), label.clone());
            }
            self.end(event.span_id(), label);
        } else {
            self.start(event.span_id(), event.parent_span_id(), label);
        }
    }

    pub(crate) fn start(&mut self, span: SpanId, parent: Option<SpanId>, label: String) {
        let call = Call {
            label: label.clone(),
            parent,
            ended: false,
        };
        if self.calls.insert(span, call).is_some() {
            self.faults.push((Fault::TwoStarts, label));
        }
    }

    pub(crate) fn end(&mut self, span: SpanId, label: String) {
        let fault = match self.calls.get_mut(&span) {
            None => Some(Fault::NoStart),
            Some(call) if call.ended => Some(Fault::TwoEnds),
            Some(call) => {
                call.ended = true;
                let parent = call.parent;
                let parent = parent.and_then(|parent| self.calls.get(&parent));
                parent
                    .is_some_and(|parent| parent.ended)
                    .then_some(Fault::OutlivedParent)
            }
        };
        self.faults.extend(fault.map(|fault| (fault, label)));
    }

    /// Returns the number of open calls.
    pub(crate) fn open(&self) -> usize {
        self.calls.values().filter(|call| !call.ended).count()
    }

    /// Panics unless the kinds of faults found are exactly the expected ones.
    #[track_caller]
    pub(crate) fn check(&self, expected: &BTreeSet<Fault>) {
        let open = self.calls.values().filter(|call| !call.ended);
        let open = open.map(|call| (Fault::Open, &call.label));
        let faults = self.faults.iter().map(|(fault, label)| (*fault, label));
        let faults: Vec<_> = faults.chain(open).collect();
        let found: BTreeSet<_> = faults.iter().map(|(fault, _)| *fault).collect();
        if found == *expected {
            return;
        }
        let mut list = String::new();
        for (fault, label) in &faults {
            let _ = write!(list, "\n  {fault:?}: {label}");
        }
        panic!("expected the faults {expected:?}, found {found:?}:{list}");
    }
}
