use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use codex_telemetry::{ErrorClass, Event, EventKind, Outcome, Sink, event::names};

/// The number of calls by operation and outcome.
pub(crate) type Outcomes = BTreeMap<(&'static str, &'static str), u64>;

/// A sink that counts events and ended calls.
#[derive(Clone, Default)]
pub(crate) struct EventCounter(Arc<Mutex<Counts>>);

#[derive(Clone, Default)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) starts: u64,
    /// The calls that ended, by operation.
    pub(crate) ended: BTreeMap<&'static str, u64>,
    /// The ended calls whose tool did not run, because nobody allowed it.
    pub(crate) not_allowed: u64,
    /// The root calls that ended: those that the test made, without the tools inside a turn.
    pub(crate) roots: Outcomes,
}

// === impl EventCounter ===

impl EventCounter {
    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().unwrap().clone()
    }
}

impl Sink for EventCounter {
    fn emit(&self, event: Event) {
        let operation = event.operation().as_str();
        let mut counts = self.0.lock().unwrap();
        counts.events += 1;
        counts.starts += u64::from(event.kind() == EventKind::Start);
        if let Some(outcome) = event.outcome() {
            *counts.ended.entry(operation).or_default() += 1;
            counts.not_allowed += u64::from(!is_allowed(&event));
            if event.parent_span_id().is_none() {
                count(&mut counts.roots, operation, outcome);
            }
        }
    }
}

// === impl Counts ===

impl Counts {
    pub(crate) fn ends(&self) -> u64 {
        self.ended.values().sum()
    }
}

fn is_allowed(event: &Event) -> bool {
    let decision = event.attribute(names::APPROVAL_DECISION);
    decision.is_none_or(|decision| decision.as_str().starts_with("accept"))
        && event.error_class() != Some(ErrorClass::ApprovalDenied)
}

pub(crate) fn count(outcomes: &mut Outcomes, operation: &'static str, outcome: Outcome) {
    *outcomes.entry((operation, outcome.as_str())).or_default() += 1;
}
