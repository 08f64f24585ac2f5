//! The approver: a policy answers what it knows, and the caller of the turn the rest, over HTTP.

use std::{
    convert::Infallible,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use codex_telemetry::approval::{Action, ApprovalRequest, Decision};
use serde::Serialize;
use tokio::sync::{oneshot, watch};

use crate::callers::Callers;

/// The questions that wait for an answer, and the policy.
#[derive(Clone)]
pub(crate) struct Questions(Arc<Shared>);

struct Shared {
    /// The commands that are accepted without a question.
    accepted: Vec<String>,
    callers: Arc<Callers>,
    /// In the order in which they were asked.
    open: Mutex<Vec<Open>>,
    /// Tells those who wait for questions that there is another one.
    changed: watch::Sender<()>,
}

struct Open {
    question: Question,
    caller: String,
    answer: oneshot::Sender<Decision>,
}

/// A question, as its caller sees it.
#[derive(Clone, Serialize)]
pub(crate) struct Question {
    pub(crate) id: u64,
    pub(crate) thread: String,
    #[serde(skip)]
    pub(crate) trace: String,
    tool: String,
    question: String,
}

// === impl Questions ===

impl Questions {
    pub(crate) fn new(accepted: Vec<String>, callers: Arc<Callers>) -> Self {
        Self(Arc::new(Shared {
            accepted,
            callers,
            open: Mutex::default(),
            changed: watch::Sender::new(()),
        }))
    }

    /// Decides, as an approver. Dropping the future withdraws the question: the turn has ended, or the deadline has
    /// passed.
    pub(crate) async fn decide(self, request: ApprovalRequest) -> Result<Decision, Infallible> {
        Ok(match &request.action {
            Action::Command {
                command,
                cwd,
                permissions: None,
                ..
            } if self.is_accepted(&request, command, cwd.as_deref()) => Decision::Accept,
            Action::Command {
                command,
                permissions: None,
                ..
            } => self.ask(&request, format!("Run {command}?")).await,
            Action::ToolCall { arguments } => {
                let question = format!("Call {} with {arguments}?", request.tool);
                self.ask(&request, question).await
            }
            _ => Decision::decline("this service does not allow that"),
        })
    }

    /// Returns whether the policy accepts a command, in the directory of its caller.
    fn is_accepted(&self, request: &ApprovalRequest, command: &str, cwd: Option<&Path>) -> bool {
        let caller = self.0.callers.of(request.context.originator());
        let is_at_home = |cwd: &Path| caller.is_some_and(|caller| cwd.starts_with(&caller.work));
        let accepts = |command: &str| self.0.accepted.iter().any(|accepted| accepted == command);
        // Other tools, such as input for a terminal, ask in the same form.
        if &*request.tool != "command_execution" || !cwd.is_none_or(is_at_home) {
            return false;
        }
        // Codex runs a command by the shell of the user, and quotes it by the rules of the shell.
        let words = shlex::split(command).unwrap_or_default();
        match &words[..] {
            [_shell, flag, script] if flag == "-lc" => accepts(script),
            _ => accepts(command),
        }
    }

    async fn ask(&self, request: &ApprovalRequest, question: String) -> Decision {
        let context = &request.context;
        let trace = context.span_context().map(|span| span.trace_id());
        let (Some(caller), Some(thread), Some(trace)) =
            (context.originator(), context.thread_id(), trace)
        else {
            return Decision::decline("nobody is there to ask");
        };
        let (answer, answered) = oneshot::channel();
        // Not a number that another life of the program has used: a late answer would be one to another question. JSON has
        // 53 bits for it.
        let id = fastrand::u64(1..1 << 53);
        let question = Question {
            id,
            thread: thread.to_owned(),
            trace: trace.to_string(),
            tool: request.tool.to_string(),
            question,
        };
        let open = Open {
            question,
            caller: caller.to_string(),
            answer,
        };
        self.lock().push(open);
        let _withdrawn = Withdrawn(self, id);
        self.0.changed.send_replace(());
        let decision = answered.await;
        decision.unwrap_or_else(|_| Decision::decline("nobody has answered"))
    }

    /// Returns the open questions of a caller.
    pub(crate) fn of(&self, caller: &str) -> Vec<Question> {
        let open = self.lock();
        let of_caller = open.iter().filter(|open| open.caller == caller);
        of_caller.map(|open| open.question.clone()).collect()
    }

    /// Answers a question of a caller. Returns whether it was still open.
    pub(crate) fn answer(&self, caller: &str, id: u64, decision: Decision) -> bool {
        let mut open = self.lock();
        let mut asked = open.iter();
        let place = asked.position(|open| open.question.id == id && open.caller == caller);
        place.is_some_and(|place| open.remove(place).answer.send(decision).is_ok())
    }

    /// Returns a receiver that knows when there are new questions.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Open>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Withdraws a question when it is dropped.
struct Withdrawn<'a>(&'a Questions, u64);

impl Drop for Withdrawn<'_> {
    fn drop(&mut self) {
        self.0.lock().retain(|open| open.question.id != self.1);
    }
}
