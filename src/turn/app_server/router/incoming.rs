//! What the server writes.

use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use super::{RequestError, Router, START_THREAD, requests::Effect};
use crate::turn::{
    TurnError,
    app_server::{
        approvals::{self, Incoming},
        decode::{self, Message, Rejection, Update},
        slot::{Question, Subject},
    },
    wire::Fields,
};

/// The notifications that are ignored on purpose, and not counted as unknown.
pub(in crate::turn::app_server) const IGNORED: &[&str] = &[
    "account/updated",
    "hook/completed",
    "hook/started",
    "item/autoApprovalReview/completed",
    "item/autoApprovalReview/started",
    "item/commandExecution/terminalInteraction",
    "item/fileChange/outputDelta",
    "item/fileChange/patchUpdated",
    "item/mcpToolCall/progress",
    "item/plan/delta",
    "item/reasoning/summaryPartAdded",
    "mcpServer/startupStatus/updated",
    "model/rerouted",
    "model/safetyBuffering/updated",
    "model/verification",
    "serverRequest/resolved",
    "thread/archived",
    "thread/compacted",
    "thread/deleted",
    "thread/goal/cleared",
    "thread/goal/updated",
    "thread/name/updated",
    "thread/readState/changed",
    "thread/settings/updated",
    "thread/started",
    "thread/status/changed",
    "turn/diff/updated",
    "turn/moderationMetadata",
    "warning",
];

// === impl Router ===

impl Router {
    /// Takes a line of the server.
    pub(in crate::turn::app_server) fn route(&self, line: &[u8]) {
        match decode::message(line) {
            Some(Message::Answer { id, answer }) => self.answered(id, answer),
            Some(Message::Request { id, method, params }) => self.asked(id, &method, &params),
            Some(Message::Notification { method, params }) => {
                self.told(&method, &params, line.len());
            }
            // Other programs that share the pipe may write anything.
            Some(Message::Unknown) | None => {}
        }
    }

    fn answered(&self, id: u64, answer: Result<Option<&RawValue>, Rejection>) {
        let Some(pending) = self.lock().pending.remove(&id) else {
            return;
        };
        let answer = match answer {
            Ok(Some(result)) => Ok(result.to_owned()),
            Ok(None) => Ok(to_raw_value(&()).unwrap_or_default()),
            Err(rejection) => Err(RequestError::Rejected(pending.method, rejection)),
        };
        let mut loaded = None;
        match (pending.effect, &answer) {
            (Effect::Load(settings, user), Ok(result)) => {
                let fields = Fields::from_line(result.get().as_bytes()).ok();
                let text = |key| fields.as_ref().and_then(|fields| fields.text(key));
                let thread = fields.as_ref().and_then(|fields| fields.object("thread"));
                if let Some(id) = thread.and_then(|thread| thread.text("id")) {
                    let (model, provider) = (text("model"), text("modelProvider"));
                    let mut state = self.lock();
                    state.threads.loaded(&id, *settings);
                    state.threads.reserve(&id, &user);
                    state.threads.has_model(&id, model, provider);
                    drop(state);
                    loaded = Some(id);
                }
            }
            (Effect::Turn(slot, thread_id), Ok(result)) => {
                self.lock().threads.began(&thread_id);
                let fields = Fields::from_line(result.get().as_bytes()).ok();
                let turn = fields.and_then(|fields| fields.object("turn"));
                slot.began(turn.and_then(|turn| turn.text("id")));
            }
            (Effect::Turn(slot, thread_id), Err(_)) => {
                slot.did_not_begin();
                self.lock().threads.was_refused(&thread_id);
                self.release(&thread_id);
            }
            (Effect::Control, _) => {
                self.lock().control -= 1;
                self.send_waiting();
            }
            (Effect::None | Effect::Load(..), _) => {}
        }
        let is_lost = pending.reply.send(answer).is_err();
        // Nobody knows the id of a new thread then. One that was resumed stays for a while, as after a turn.
        if let Some(id) = loaded.filter(|_| is_lost && pending.method == START_THREAD) {
            let mut state = self.lock();
            state.threads.forget(&id);
            state.let_go(&id);
            drop(state);
            self.send_waiting();
        }
    }

    fn asked(&self, id: &RawValue, method: &str, params: &Fields<'_>) {
        let subject = match approvals::decode(method, params) {
            Incoming::Ask(asked) => Subject::Approval(asked),
            Incoming::Call(call) => Subject::HostCall(call),
            Incoming::Refuse(refusal) => return self.answer(id, &refusal),
            Incoming::Unknown => {
                let error =
                    json!({"code": -32601, "message": "the client does not know the method"});
                return self.write(&json!({"id": id, "error": error}));
            }
        };
        let question = Box::new(Question {
            id: id.to_owned(),
            subject,
            wait: None,
        });
        if let Err(question) = self.ask(question, params) {
            self.answer(id, &question.refusal());
        }
    }

    /// Hands a question to the future of its turn. Gives it back if there is none that could answer.
    fn ask(&self, question: Box<Question>, params: &Fields<'_>) -> Result<(), Box<Question>> {
        let (thread_id, turn_id) = decode::ids(params);
        let Some(thread_id) = thread_id else {
            return Err(question);
        };
        let (slot, agents) = {
            let state = self.lock();
            (
                state.threads.slot(&thread_id),
                state.threads.slot_of_agent(&thread_id),
            )
        };
        match (slot, agents) {
            (Some(slot), _) => slot.ask(turn_id.as_deref(), question),
            // A sub-agent has a turn of its own, and the tools of the one that it works for. What it would like to do
            // beside is not asked about: an approver could not tell that it is another agent.
            (None, Some(slot)) if matches!(question.subject, Subject::HostCall(_)) => {
                slot.ask(None, question)
            }
            _ => Err(question),
        }
    }

    fn told(&self, method: &str, params: &Fields<'_>, length: usize) {
        let update = decode::update(method, params);
        if update.is_none() && IGNORED.contains(&method) {
            return;
        }
        let (thread_id, turn_id) = decode::ids(params);
        let Some(thread_id) = thread_id else {
            if let Some(Update::RateLimits(limits)) = update {
                // They are those of the account, so of every turn.
                let running = self.lock().threads.running();
                for (_, slot) in running {
                    slot.apply(None, Some(Update::RateLimits(limits.clone())), 0);
                }
            }
            return;
        };
        if method == "thread/closed" {
            let slot = self.lock().threads.closed(&thread_id);
            self.closed.notify_waiters();
            // One that was refused has its own error.
            if let Some(slot) = slot.filter(|slot| !slot.has_ended()) {
                slot.fail(TurnError::Interrupted);
            }
            return self.release(&thread_id);
        }
        if let Some(Update::TokenUsage { total, .. }) = &update {
            self.lock().threads.has_used(&thread_id, *total);
        }
        let Some(slot) = self.lock().threads.slot(&thread_id) else {
            return self.told_of_agent(&thread_id, update.as_ref(), params);
        };
        if slot.apply(turn_id.as_deref(), update, length) {
            self.release(&thread_id);
            self.changed.notify_one();
        }
    }

    /// Takes what is about a thread without a turn of this program: it may be that of a sub-agent.
    fn told_of_agent(&self, thread_id: &str, update: Option<&Update>, params: &Fields<'_>) {
        let Some(Update::TurnStarted) = update else {
            return;
        };
        let turn = params.object("turn");
        let Some(root) = turn.and_then(|turn| turn.text("rootTurnId")) else {
            return;
        };
        let is_dropped = self.lock().threads.agent_began(thread_id, &root);
        if is_dropped {
            self.interrupt_thread(thread_id);
        }
    }
}
