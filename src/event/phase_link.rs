use std::sync::Arc;

use opentelemetry::KeyValue;

use super::{
    Clock, Operation, Outcome, Phase, PhaseClock, Phases, WaitForApproval,
    annotations::Annotations, clock::millis, names, record::Record,
};

/// How the phases of a turn concern a call.
pub(super) enum PhaseLink {
    /// The call is the turn.
    Turn(Arc<PhaseClock>),
    /// The call is a tool of the turn.
    Tool(Arc<PhaseClock>),
}

// === impl Record ===

impl Record {
    /// Returns the clock of the turn that this call is. `None` if the call has ended, if it is a tool, which only has a
    /// turn run, or if its clock is that of another attempt, which runs at the same time.
    pub(super) fn begin_phases(&self) -> Option<Arc<PhaseClock>> {
        if self.operation == Operation::Tool {
            return None;
        }
        let clock = self.emitter()?.clock.clone();
        let mut link = None;
        self.annotate(|annotations| link = annotations.phase_link.take());
        let (phases, is_own) = match link {
            Some(PhaseLink::Turn(phases)) => {
                let is_own = phases.begin_attempt();
                (phases, is_own)
            }
            Some(PhaseLink::Tool(_)) | None => {
                let outer = self.outer.as_deref();
                let outer = outer.and_then(Self::begin_phases);
                (
                    Arc::new(PhaseClock::new(clock, self.began.tick, outer)),
                    true,
                )
            }
        };
        let link = PhaseLink::Turn(Arc::clone(&phases));
        self.annotate(|annotations| annotations.phase_link = Some(link));
        is_own.then_some(phases)
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

    /// Notes that this call of a tool waits for an approval. `None` if it is in no turn.
    pub(crate) fn wait_for_approval(&self) -> Option<WaitForApproval> {
        Some(self.turn_phases()?.approval())
    }

    /// Returns the clock of the turn that this call of a tool is in.
    fn turn_phases(&self) -> Option<Arc<PhaseClock>> {
        let mut call = Some(self);
        while let Some(tool) = call {
            let phases = tool.annotated(|annotations| match &annotations.phase_link {
                Some(PhaseLink::Tool(phases)) => Some(Arc::clone(phases)),
                _ => None,
            });
            if phases.is_some() {
                return phases;
            }
            call = tool.outer.as_deref();
        }
        None
    }

    /// Returns the phase of an open turn. One that its service does not have yet waits.
    pub(super) fn phase(&self) -> Option<Phase> {
        let phase = self.own_phases().map(|phases| phases.phase());
        phase.or((self.has_phases && self.is_open()).then_some(Phase::Wait))
    }

    /// Adds the phases of a turn that has ended to its annotations.
    #[inline]
    pub(super) fn with_phases(
        &self,
        annotations: Option<Box<Annotations>>,
        clock: &Clock,
        outcome: Outcome,
    ) -> Option<Box<Annotations>> {
        let has_link = annotations
            .as_ref()
            .is_some_and(|of| of.phase_link.is_some());
        if !self.has_phases && !has_link {
            return annotations;
        }
        self.with_phases_of_turn(annotations, clock, outcome)
    }

    #[cold]
    fn with_phases_of_turn(
        &self,
        mut annotations: Option<Box<Annotations>>,
        clock: &Clock,
        outcome: Outcome,
    ) -> Option<Box<Annotations>> {
        let link = annotations.as_mut().and_then(|of| of.phase_link.take());
        let phases = match link {
            Some(PhaseLink::Turn(phases)) => phases.at_end(self.duration()),
            // It waited for its service, which may be another one if it has completed.
            _ if self.has_phases && outcome != Outcome::Ok => {
                PhaseClock::new(clock.clone(), self.began.tick, None).at_end(self.duration())
            }
            _ => return annotations,
        };
        annotations
            .get_or_insert_default()
            .set_phases(phases, outcome);
        annotations
    }
}

// === impl Annotations ===

impl Annotations {
    fn set_phases(&mut self, phases: Phases, outcome: Outcome) {
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
