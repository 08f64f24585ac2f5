use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Clock, Phase, Phases, Record, clock::Tick};

/// Measures the phases of a turn, by the clock of its call.
///
/// The service says what the turn does, and the clock adds the time since then to the phase that is in force. So the
/// phases add up to the duration, whatever happens in which order. A turn that has no open call is measured as well.
pub(crate) struct PhaseClock {
    clock: Clock,
    /// When the call began.
    started: Tick,
    /// That of the call around this attempt, which has the times of all attempts.
    outer: Option<Arc<Self>>,
    state: Mutex<State>,
}

/// What a turn does. The fields are in the order in which they count.
#[derive(Clone)]
struct State {
    /// How many questions wait for an answer.
    approvals: u32,
    /// Whether the model or Codex tries again.
    is_retrying: bool,
    /// Whether the model was seen to write.
    is_writing: bool,
    /// Whether tools run.
    has_tools: bool,
    /// The phase that the turn has reached.
    reached: Phase,
    /// When the last response of the model ended, if nothing has been heard since. What the turn has done since then
    /// shows by what comes next.
    response_ended: Option<Duration>,

    /// The phase in force.
    phase: Phase,
    /// Since when, after the start.
    since: Duration,
    /// Whether an attempt runs. Otherwise nothing changes, except that a pause for a retry or another attempt begins.
    is_running: bool,
    /// Whether a policy has decided to try again, although the attempt still runs: that is dropped a moment later.
    is_given_up: bool,
    /// Whether an attempt has ended, and no pause has begun.
    is_frozen: bool,
    /// How many attempts have begun.
    attempts: u32,
    phases: Phases,
}

/// A question that waits for its answer, until this is dropped.
#[must_use = "the wait ends when this is dropped"]
pub(crate) struct WaitForApproval {
    phases: Arc<PhaseClock>,
    /// The attempt that asked. Its questions are over with it, although this may be dropped later.
    attempt: u32,
}

// === impl PhaseClock ===

impl PhaseClock {
    /// Returns the clock of a turn whose service has been called.
    pub(crate) fn begin(call: Option<&Record>) -> Arc<Self> {
        let of_call = call.and_then(Record::begin_phases);
        of_call.unwrap_or_else(|| {
            let clock = Clock::system();
            let started = clock.now();
            Arc::new(Self::new(clock, started, None))
        })
    }

    pub(super) fn new(clock: Clock, started: Tick, outer: Option<Arc<Self>>) -> Self {
        let state = Mutex::new(State::new());
        Self {
            clock,
            started,
            outer,
            state,
        }
    }

    /// Notes that approvals can be told, though there are none yet.
    pub(crate) fn tells_approvals(&self) {
        self.change(|state, _| state.phases.add(Phase::Approval, Duration::ZERO));
    }

    /// Notes that Codex starts, or loads the thread.
    pub(crate) fn starting_up(&self) {
        self.change(|state, _| state.reached = Phase::Startup);
    }

    /// Notes that Codex asks the model. Does nothing if that is known.
    pub(crate) fn model_asked(&self) {
        self.change(|state, _| state.model_asked());
    }

    /// Notes whether tools run. The first one that is told of began with the end of the response: Codex tells of a command
    /// up to 150 ms later.
    pub(crate) fn set_tools(&self, run: bool) {
        self.change(|state, now| {
            if run {
                state.has_done_since_response(Phase::Tools, now);
            }
            state.has_tools = run;
        });
    }

    /// Notes a sign of the model or of its tools, by which no retry goes on.
    pub(crate) fn heard(&self) {
        self.change(|state, _| {
            state.is_retrying = false;
            state.response_ended = None;
        });
    }

    /// Notes that the model writes a text.
    pub(crate) fn writing(&self) {
        self.change(|state, _| {
            state.model_asked();
            state.is_retrying = false;
            state.is_writing = true;
            state.response_ended = None;
        });
    }

    /// Notes that the model has written, and does so no more as far as is known.
    pub(crate) fn written(&self) {
        self.change(|state, _| {
            state.is_retrying = false;
            state.is_writing = false;
        });
    }

    /// Notes that a response of the model has ended.
    pub(crate) fn response_ended(&self) {
        self.change(|state, now| {
            state.model_asked();
            state.is_retrying = false;
            state.is_writing = false;
            state.response_ended = (state.in_force() == Phase::Model).then_some(now);
        });
    }

    /// Notes that Codex tries again.
    pub(crate) fn retrying(&self) {
        self.change(|state, _| {
            state.model_asked();
            state.is_retrying = true;
            state.is_writing = false;
        });
    }

    /// Notes that a question waits.
    pub(crate) fn approval(self: &Arc<Self>) -> WaitForApproval {
        self.change(|state, _| state.approvals = state.approvals.saturating_add(1));
        WaitForApproval {
            phases: Arc::clone(self),
            attempt: self.lock().attempts,
        }
    }

    /// Notes how long the turn ran until the first part of a text.
    pub(crate) fn first_token(&self, after: Duration) {
        self.change(|state, _| {
            state.phases.time_to_first_token.get_or_insert(after);
        });
    }

    /// Notes that Codex has completed the turn.
    pub(crate) fn turn_completed(&self) {
        self.change(|state, now| {
            state.has_done_since_response(Phase::Other, now);
            state.reach(Phase::Other);
        });
    }

    /// Keeps the phase that is in force, since the turn has failed, is dropped or has returned: what is dropped with it
    /// does not change what it waited for.
    pub(crate) fn freeze(&self) {
        self.change(|state, now| {
            state.is_running = false;
            state.is_frozen = true;
            if state.is_given_up {
                state.pause(now);
            }
        });
    }

    /// Returns the phases until now.
    pub(crate) fn phases(&self) -> Phases {
        self.at_end(self.elapsed())
    }

    /// Returns the phase in force.
    pub(super) fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Begins another attempt, unless one runs. It is one of the calls around as well.
    pub(super) fn begin_attempt(&self) -> bool {
        let mut state = self.lock();
        if state.is_running {
            return false;
        }
        let now = self.elapsed();
        state.pause(now);
        state.is_running = true;
        state.attempts = state.attempts.saturating_add(1);
        state.reach(Phase::Wait);
        state.update(now);
        drop(state);
        if let Some(outer) = &self.outer {
            outer.begin_attempt();
        }
        true
    }

    /// Notes that the turn waits to be tried again, or does so once the attempt is dropped that still runs.
    pub(super) fn pause(&self) {
        let mut next = Some(self);
        while let Some(clock) = next {
            let mut state = clock.lock();
            if state.is_running {
                state.is_given_up = true;
            } else {
                let now = clock.elapsed();
                state.pause(now);
            }
            next = clock.outer.as_deref();
        }
    }

    /// Returns the phases of the call, which has ended. The phase in force gets the rest of its duration.
    ///
    /// The turn may go on, and has its own phases then.
    pub(super) fn at_end(&self, duration: Duration) -> Phases {
        let mut state = self.lock().clone();
        if state.is_frozen && duration > state.since {
            // What is dropped and returned after the turn.
            let (since, last) = (state.since, state.phases.last);
            state.enter(since, Phase::Other);
            state.phases.last = last;
        }
        state.count(duration);
        state.phases
    }

    /// Changes what the turn does, on this clock and those around it.
    fn change(&self, change: impl Fn(&mut State, Duration)) {
        let mut next = Some(self);
        while let Some(clock) = next {
            let mut state = clock.lock();
            if !state.is_running {
                // The attempt is over. The clocks around it may be those of the next one.
                return;
            }
            let now = clock.elapsed();
            state.count(now);
            change(&mut state, now);
            state.update(now);
            next = clock.outer.as_deref();
        }
    }

    /// Returns the time since the start of the call. It is read under the lock, so that it never goes back.
    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.clock.now().since(self.started))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of a caller runs under the lock, so a panic cannot leave the state half-written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PhaseClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PhaseClock")
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}

// === impl State ===

impl State {
    fn new() -> Self {
        let mut phases = Phases::new();
        for phase in Phase::ALL {
            if *phase != Phase::Approval {
                phases.add(*phase, Duration::ZERO);
            }
        }
        phases.change(Duration::ZERO, Phase::Wait);
        phases.last = Some(Phase::Wait);
        Self {
            approvals: 0,
            is_retrying: false,
            is_writing: false,
            has_tools: false,
            reached: Phase::Wait,
            response_ended: None,
            phase: Phase::Wait,
            since: Duration::ZERO,
            is_running: true,
            is_given_up: false,
            is_frozen: false,
            attempts: 1,
            phases,
        }
    }

    /// Begins a stage of the turn, in which nothing of the one before goes on.
    fn reach(&mut self, phase: Phase) {
        self.approvals = 0;
        self.is_retrying = false;
        self.is_writing = false;
        self.has_tools = false;
        self.reached = phase;
        self.response_ended = None;
        self.is_given_up = false;
    }

    fn model_asked(&mut self) {
        if matches!(self.reached, Phase::Wait | Phase::Startup) {
            self.reached = Phase::Model;
        }
    }

    fn in_force(&self) -> Phase {
        match self {
            Self { approvals: 1.., .. } => Phase::Approval,
            Self {
                is_retrying: true, ..
            } => Phase::Retry,
            Self {
                is_writing: true, ..
            } => Phase::Model,
            Self {
                has_tools: true, ..
            } => Phase::Tools,
            _ => self.reached,
        }
    }

    /// Enters the phase that is in force now.
    fn update(&mut self, now: Duration) {
        let phase = self.in_force();
        if phase != self.phase {
            if phase != Phase::Model {
                self.response_ended = None;
            }
            self.enter(now, phase);
        }
    }

    fn enter(&mut self, now: Duration, phase: Phase) {
        self.count(now);
        self.phase = phase;
        self.phases.change(self.since, phase);
        self.phases.last = Some(phase);
    }

    /// Adds the time until now to the phase in force.
    fn count(&mut self, now: Duration) {
        let spent = now.saturating_sub(self.since);
        self.phases.add(self.phase, spent);
        self.since += spent;
    }

    /// Moves the time since the end of the last response, which counted as that of the model, to the phase that it was.
    fn has_done_since_response(&mut self, phase: Phase, now: Duration) {
        if let Some(since) = self.response_ended.take() {
            self.phases
                .move_time(Phase::Model, phase, now.saturating_sub(since));
            self.phase = phase;
            self.phases.change(since, phase);
            self.phases.last = Some(phase);
        }
    }

    /// Waits for a retry, since the end of the attempt before.
    fn pause(&mut self, now: Duration) {
        self.is_frozen = false;
        self.reach(Phase::Retry);
        let since = self.since;
        self.enter(since, Phase::Retry);
        self.count(now);
    }
}

// === impl WaitForApproval ===

impl Drop for WaitForApproval {
    fn drop(&mut self) {
        if self.phases.lock().attempts == self.attempt {
            self.phases
                .change(|state, _| state.approvals = state.approvals.saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests;
