use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
};

use codex_telemetry::Event;
use opentelemetry::SpanId;

/// What can be wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It has a start and no end.
    Open,
    /// It has an end, and no start before it.
    NoStart,
    TwoStarts,
    TwoEnds,
    /// It ended after the call that it was made in.
    OutlivedParent,
}

/// The calls that events tell of, and what is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Account {
    calls: HashMap<SpanId, Call>,
    faults: Vec<(Fault, String)>,
}

#[derive(Debug)]
struct Call {
    label: String,
    parent: Option<SpanId>,
    ended: bool,
}

impl Account {
    pub(crate) fn event(&mut self, event: &Event) {
        let label = format!("{event:?}");
        if event.kind().is_terminal() {
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

    /// How many calls have ended.
    pub(crate) fn ended(&self) -> usize {
        self.calls.values().filter(|call| call.ended).count()
    }

    /// Fails the test unless what is wrong is what the test said would be, of each kind at least once.
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
        panic!("of the calls {expected:?} was to be wrong, and is {found:?}:{list}");
    }
}
