use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use codex_telemetry::{Event, Outcome, Sink};

/// How many calls of an operation ended in one way.
pub(crate) type Outcomes = BTreeMap<(&'static str, &'static str), u64>;

/// Counts calls.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<Counts>>);

#[derive(Clone, Default)]
pub(crate) struct Counts {
    /// Of the calls that a caller made, not those that a turn made within.
    pub(crate) callers: Outcomes,
    /// Of all calls.
    pub(crate) ended: BTreeMap<&'static str, u64>,
    pub(crate) started: BTreeMap<&'static str, u64>,
    pub(crate) events: u64,
    pub(crate) under_way: usize,
}

impl Tally {
    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn under_way(&self) -> usize {
        self.0.lock().unwrap().under_way
    }
}

impl Sink for Tally {
    fn emit(&self, event: Event) {
        let operation = event.operation().as_str();
        let mut counts = self.0.lock().unwrap();
        counts.events += 1;
        let Some(outcome) = event.outcome() else {
            *counts.started.entry(operation).or_default() += 1;
            counts.under_way += 1;
            return;
        };
        *counts.ended.entry(operation).or_default() += 1;
        counts.under_way -= 1;
        if event.parent_span_id().is_none() {
            count(&mut counts.callers, operation, outcome);
        }
    }
}

pub(crate) fn count(outcomes: &mut Outcomes, operation: &'static str, outcome: Outcome) {
    *outcomes.entry((operation, outcome.as_str())).or_default() += 1;
}
