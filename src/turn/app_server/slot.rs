use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, value::RawValue};
use tokio::sync::{Notify, futures::Notified};

use super::{
    approvals::Asked,
    decode::Update,
    host_calls::{self, HostCall},
    turn_state::TurnState,
};
use crate::{
    event::WaitForApproval,
    turn::{Progress, TurnError},
};

/// A turn as the connection sees it. The reader folds what the server tells into its state at once, so that the
/// times are right whether or not the turn's future is polled.
pub(super) struct Slot {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// `None` once the turn's future has taken the result, or was dropped.
    turn: Option<TurnState>,
    /// Codex's id of the turn, once it is known.
    turn_id: Option<String>,
    /// Whether the request to start the turn was sent.
    is_sent: bool,
    /// Whether the turn is over, or never began.
    has_ended: bool,
}

/// A request of Codex to this program within a turn, with what is needed to answer it.
pub(super) struct Question {
    /// The id of the request, as the server wrote it.
    pub(super) id: Box<RawValue>,
    pub(super) subject: Subject,
    /// The turn waits for the approver.
    pub(super) wait: Option<WaitForApproval>,
}

/// What a question is about.
pub(super) enum Subject {
    /// Something that the approver decides.
    Approval(Asked),
    /// A tool of this program that the model calls.
    HostCall(HostCall),
}

// === impl Question ===

impl Question {
    /// Returns the answer if nobody can be asked.
    pub(super) fn refusal(&self) -> Value {
        match &self.subject {
            Subject::Approval(asked) => asked.refusal(),
            Subject::HostCall(_) => host_calls::not_now(),
        }
    }
}

// === impl Slot ===

impl Slot {
    pub(super) fn new(turn: TurnState) -> Self {
        Self {
            state: Mutex::new(State {
                turn: Some(turn),
                ..State::default()
            }),
            changed: Notify::new(),
        }
    }

    /// Marks the turn as one that the server may begin.
    pub(super) fn mark_sent(&self) {
        self.lock().is_sent = true;
    }

    /// Returns whether the request to start the turn was sent.
    pub(super) fn was_sent(&self) -> bool {
        self.lock().is_sent
    }

    /// Returns whether the server may run the turn.
    pub(super) fn may_run(&self) -> bool {
        let state = self.lock();
        state.is_sent && !state.has_ended
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().has_ended
    }

    /// Returns whether the turn has a result.
    pub(super) fn is_over(&self) -> bool {
        let state = self.lock();
        state.has_ended || state.turn.as_ref().is_none_or(TurnState::has_ended)
    }

    /// Returns whether this is the turn with an id of Codex.
    pub(super) fn is_turn(&self, turn_id: &str) -> bool {
        self.lock().turn_id.as_deref() == Some(turn_id)
    }

    /// Sets the id of the turn that the server has begun.
    pub(super) fn began(&self, turn_id: Option<String>) {
        let mut state = self.lock();
        if let Some(id) = turn_id
            && state.turn_id.is_none()
        {
            state.began(&id);
        }
    }

    /// Ends a turn that the server has not begun. Its future learns the reason from the answer.
    pub(super) fn did_not_begin(&self) {
        self.lock().has_ended = true;
    }

    /// Applies what the server tells of a turn. Returns whether the turn is over by it.
    ///
    /// What it tells of an earlier turn of the thread, such as the late end of a command, is ignored.
    pub(super) fn apply(
        &self,
        turn_id: Option<&str>,
        update: Option<Update>,
        length: usize,
    ) -> bool {
        let mut state = self.lock();
        if state.has_ended {
            return false;
        }
        if let Some(id) = turn_id {
            if state.turn_id.is_none() && matches!(update, Some(Update::TurnStarted)) {
                // The answer to the request has the id, and comes first. Without it, the start has.
                state.began(id);
            }
            if state.turn_id.as_deref() != Some(id) {
                state.apply_earlier(update);
                return false;
            }
        }
        let ends = matches!(update, Some(Update::TurnCompleted(_)));
        if let Some(turn) = &mut state.turn {
            match update {
                Some(update) => turn.apply(update, length),
                None => turn.unknown(length),
            }
        }
        state.has_ended = ends;
        drop(state);
        self.changed.notify_one();
        ends
    }

    /// Hands a question to the turn's future. Gives it back if there is none that could answer.
    pub(super) fn ask(
        &self,
        turn_id: Option<&str>,
        question: Box<Question>,
    ) -> Result<(), Box<Question>> {
        let mut state = self.lock();
        let is_of_turn = turn_id.is_none() || turn_id == state.turn_id.as_deref();
        if state.has_ended || !is_of_turn {
            return Err(question);
        }
        let Some(turn) = &mut state.turn else {
            return Err(question);
        };
        turn.ask(question)?;
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Ends a turn whose server has failed.
    pub(super) fn fail(&self, error: TurnError) {
        let mut state = self.lock();
        if let Some(turn) = &mut state.turn {
            turn.fail(error);
        }
        state.has_ended = true;
        drop(state);
        self.changed.notify_one();
    }

    /// Has the turn fail as stopped when it is interrupted.
    pub(super) fn stop(&self) {
        if let Some(turn) = &mut self.lock().turn {
            turn.stop();
        }
    }

    /// Waits until something has changed since the last wait.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Works on the state of the turn, while its future has not taken it.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut TurnState) -> T) -> Option<T> {
        self.lock().turn.as_mut().map(work)
    }

    /// Returns progress that waits for the reader of the turn, the oldest first.
    pub(super) fn next_progress(&self) -> Option<Progress> {
        self.with(|turn| turn.progress.pop())?
    }

    /// Takes the state of the turn. What the server tells from now on is of no use.
    pub(super) fn take(&self) -> Option<TurnState> {
        self.lock().turn.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn began(&mut self, turn_id: &str) {
        self.turn_id = Some(turn_id.to_owned());
        if let Some(turn) = &mut self.turn {
            turn.set_id(turn_id);
        }
    }

    /// Applies what the server tells of an earlier turn: what the thread has used by then.
    fn apply_earlier(&mut self, update: Option<Update>) {
        if let (Some(turn), Some(Update::TokenUsage { total, .. })) = (&mut self.turn, update) {
            turn.had_used(total);
        }
    }
}
