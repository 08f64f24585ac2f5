use std::{sync::Arc, time::Duration};

use opentelemetry::KeyValue;

use super::{
    Outcome, Phase, PhaseClock, WaitForApproval,
    clock::millis,
    names,
    record::{Annotations, Record},
};

/// How the phases of a turn concern a call.
pub(super) enum PhaseLink {
    /// The call is an attempt of the turn whose call is open around it.
    Attempt(Arc<Record>),
    /// The call is the turn.
    Turn(Arc<PhaseClock>),
    /// The call is a tool of the turn.
    Tool(Arc<PhaseClock>),
}

// === impl Record ===

impl Record {
    /// Returns the clock of the turn that this call is. `None` if the call has ended, or if its clock is that of another
    /// attempt, which runs at the same time.
    pub(super) fn begin_phases(self: &Arc<Self>) -> Option<Arc<PhaseClock>> {
        let clock = self.emitter()?.clock.clone();
        let mut link = None;
        self.annotate(|annotations| link = annotations.phase_link.take());
        let (phases, is_own) = match link {
            Some(PhaseLink::Turn(phases)) => {
                let is_own = phases.begin_attempt();
                (phases, is_own)
            }
            Some(PhaseLink::Attempt(outer)) => {
                let outer = outer.begin_phases();
                (Arc::new(PhaseClock::new(clock, self.started, outer)), true)
            }
            Some(PhaseLink::Tool(_)) | None => {
                (Arc::new(PhaseClock::new(clock, self.started, None)), true)
            }
        };
        let link = PhaseLink::Turn(Arc::clone(&phases));
        self.annotate(|annotations| annotations.phase_link = Some(link));
        is_own.then_some(phases)
    }

    /// Notes that this call is an attempt of a turn, whose call is open around it.
    pub(crate) fn set_outer_turn(&self, outer: Arc<Self>) {
        self.annotate(|annotations| annotations.phase_link = Some(PhaseLink::Attempt(outer)));
    }

    /// Notes that this call is a tool of a turn.
    pub(super) fn set_turn_phases(&self, phases: Arc<PhaseClock>) {
        self.annotate(|annotations| annotations.phase_link = Some(PhaseLink::Tool(phases)));
    }

    /// Returns the clock of the turn that this call is.
    pub(crate) fn own_phases(&self) -> Option<Arc<PhaseClock>> {
        self.annotated(|annotations| match &annotations.phase_link {
            Some(PhaseLink::Turn(phases)) => Some(Arc::clone(phases)),
            _ => None,
        })
    }

    /// Notes that the turn that this call is waits to be tried again.
    pub(crate) fn pause_for_retry(&self) {
        if let Some(phases) = self.own_phases() {
            phases.pause();
        }
    }

    /// Notes that this call of a tool is an attempt of another one, or made by it.
    pub(crate) fn set_outer_tool(&self, outer: &Self) {
        if let Some(phases) = outer.turn_phases() {
            self.set_turn_phases(phases);
        }
    }

    /// Notes that this call of a tool waits for an approval. `None` if it is in no turn.
    pub(crate) fn wait_for_approval(&self) -> Option<WaitForApproval> {
        Some(self.turn_phases()?.approval())
    }

    /// Returns the clock of the turn that this call of a tool is in.
    fn turn_phases(&self) -> Option<Arc<PhaseClock>> {
        self.annotated(|annotations| match &annotations.phase_link {
            Some(PhaseLink::Tool(phases)) => Some(Arc::clone(phases)),
            _ => None,
        })
    }

    /// Returns the phase of an open turn.
    pub(super) fn phase(&self) -> Option<Phase> {
        Some(self.own_phases()?.phase())
    }
}

// === impl Annotations ===

impl Annotations {
    /// Adds the phases of a turn that has ended.
    #[inline]
    pub(super) fn with_phases(
        mut self: Box<Self>,
        duration: Duration,
        outcome: Outcome,
    ) -> Box<Self> {
        if let Some(PhaseLink::Turn(clock)) = self.phase_link.take() {
            self.end_phases(&clock, duration, outcome);
        }
        self
    }

    #[cold]
    fn end_phases(&mut self, clock: &PhaseClock, duration: Duration, outcome: Outcome) {
        let phases = clock.at_end(duration);
        for (phase, duration) in phases.iter() {
            let attribute = KeyValue::new(phase.attribute(), millis(duration));
            self.attributes.set_reserved(attribute);
        }
        if let Some(first) = phases.time_to_first_token() {
            let attribute = KeyValue::new(names::TIME_TO_FIRST_TOKEN, millis(first));
            self.attributes.set_reserved(attribute);
        }
        if outcome != Outcome::Ok
            && let Some(last) = phases.last()
        {
            let attribute = KeyValue::new(names::PHASE, last.as_str());
            self.attributes.set_reserved(attribute);
        }
        self.phases = Some(Box::new(phases));
    }
}
