//! The client of a turn that runs: what happens to the turn, as server-sent events.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use axum::response::sse::Event;
use codex_telemetry::{
    Phases,
    turn::{Progress, Usage},
};
use serde::Serialize;
use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use crate::{
    answer::Failure,
    app::App,
    callers::Caller,
    questions::Questions,
    running::{End, Update},
};

/// When the stream begins although the turn has nothing to show yet. A turn that is refused has had its retries by then,
/// unless Codex says that it takes longer.
const BEGIN_AFTER: Duration = Duration::from_secs(5);

/// The client of a turn. Dropping it cancels the turn.
pub(crate) struct Client {
    caller: Arc<Caller>,
    updates: mpsc::Receiver<Update>,
    questions: Questions,
    changes: watch::Receiver<()>,
    turn: Begun,
    is_accepted: bool,
    /// The questions that the client knows.
    asked: HashSet<u64>,
    /// What the client gets before anything else.
    pending: VecDeque<Event>,
    /// Whether the turn has something to show. Warnings are not enough: of a turn that is refused, they say what its
    /// error says.
    has_shown: bool,
    end: Option<End>,
    state: State,
}

/// The first event, and again when the turn has another thread.
#[derive(Clone, Default, Serialize)]
struct Begun {
    id: u64,
    thread: Option<String>,
    trace: Option<String>,
}

/// The last event of a turn that completed.
#[derive(Serialize)]
struct Done<'a> {
    message: Option<&'a str>,
    usage: Option<Usage>,
    phases: &'a Phases,
}

#[derive(PartialEq)]
enum State {
    /// The answer has not begun.
    Waiting,
    Streaming,
    /// The client has the last event.
    Ended,
}

// === impl Client ===

impl Client {
    pub(crate) fn new(app: &App, caller: Arc<Caller>, updates: mpsc::Receiver<Update>) -> Self {
        Self {
            caller,
            updates,
            questions: app.questions.clone(),
            changes: app.questions.changes(),
            turn: Begun::default(),
            is_accepted: false,
            asked: HashSet::new(),
            pending: VecDeque::new(),
            has_shown: false,
            end: None,
            state: State::Waiting,
        }
    }

    /// Waits until the turn has something to show, for five seconds at most. Fails if the turn fails before.
    pub(crate) async fn begin(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + BEGIN_AFTER;
        let mut is_late = false;
        // Not before it is accepted: the first event has its id.
        while (!self.is_accepted || !(self.has_shown || is_late)) && self.end.is_none() {
            tokio::select! {
                () = self.wait() => {}
                () = sleep_until(deadline), if !is_late => is_late = true,
            }
        }
        if let Some(end) = self.end.take() {
            // If it has failed, that is the answer.
            self.end = Some(Ok(end?));
        }
        self.state = State::Streaming;
        self.pending.push_front(event("turn", &self.turn));
        Ok(())
    }

    /// Returns the next event; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        while self.state != State::Ended {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if let Some(end) = self.end.take() {
                self.state = State::Ended;
                return Some(last(&end));
            }
            self.wait().await;
        }
        None
    }

    /// Waits for an update or a question.
    async fn wait(&mut self) {
        tokio::select! {
            update = self.updates.recv() => match update {
                Some(Update::Accepted { id, thread, trace }) => {
                    self.is_accepted = true;
                    self.turn = Begun { id, thread, trace };
                }
                Some(Update::Progress(progress)) => self.progress(&progress),
                Some(Update::End(end)) => self.end = Some(end),
                None => self.end = Some(Err(Failure::internal("the task of a turn panicked"))),
            },
            // The sender lives as long as the service.
            _ = self.changes.changed() => self.ask(),
        }
    }

    fn progress(&mut self, progress: &Progress) {
        match progress {
            Progress::ThreadStarted { thread_id } => {
                let is_other = self.turn.thread.as_ref() != Some(thread_id);
                self.turn.thread = Some(thread_id.clone());
                // An attempt that was refused has left a thread, and the next one has another.
                if is_other && self.state == State::Streaming {
                    self.pending.push_back(event("turn", &self.turn));
                }
                // A question may have come before the thread was known here.
                self.ask();
            }
            Progress::TurnStarted => {}
            progress => {
                let is_warning = matches!(
                    progress,
                    Progress::Warning { .. } | Progress::Retrying { .. }
                );
                self.has_shown |= !is_warning;
                self.pending.push_back(event("progress", progress));
            }
        }
    }

    /// Tells the client of questions that it does not know yet.
    fn ask(&mut self) {
        for question in self.questions.of(self.caller.originator.as_str()) {
            // Another turn of the thread may wait for this one. It has another trace.
            let is_mine = self.turn.thread.as_ref() == Some(&question.thread)
                && self.turn.trace.as_ref() == Some(&question.trace);
            if is_mine && self.asked.insert(question.id) {
                self.has_shown = true;
                self.pending.push_back(event("approval", &question));
            }
        }
    }
}

fn last(end: &End) -> Event {
    match end {
        Ok(turn) => event(
            "done",
            &Done {
                message: turn.final_message.as_deref(),
                usage: turn.usage,
                phases: &turn.phases,
            },
        ),
        Err(failure) => event(
            "error",
            &json!({"class": failure.class.as_str(), "message": failure.message}),
        ),
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    match Event::default().event(name).json_data(data) {
        Ok(event) => event,
        // Only for a value that is no JSON, such as a map whose keys are no texts.
        Err(error) => Event::default().event("error").data(error.to_string()),
    }
}
