//! What Codex asks in a turn, while it is being answered: approvals, and calls of the program's tools.

use std::{future::Future, pin::Pin, sync::Arc, task::Poll, time::Duration};

use serde_json::value::RawValue;

use super::{
    approvals::Asked,
    builder::{Approver, Config},
    host_calls::{self, HostCall},
    router::Router,
    slot::{Question, Slot, Subject},
    turn_state::TurnState,
};
use crate::{
    approval::{Answer, ApprovalRequest, Ask, Decision, Wait},
    call::CallContext,
    event::{ErrorClass, Ticket, WaitForApproval},
    tool::{HostTools, ToolError},
};

/// The most questions that are being answered at once in a turn.
const MAX_ASKED: usize = 64;

/// The questions of Codex in a turn. Dropping them leaves them open.
pub(super) struct Questions {
    slot: Arc<Slot>,
    router: Arc<Router>,
    thread_id: String,
    /// Of the turn.
    context: CallContext,
    approver: Option<(Approver, Duration)>,
    host_tools: Option<HostTools>,
    /// The longest line with the output of a tool, in bytes. Codex repeats it, and a line that is too long would end the
    /// server.
    answer_limit: usize,
    /// Each of them answers Codex.
    answering: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Questions {
    pub(super) fn new(
        slot: &Arc<Slot>,
        router: &Arc<Router>,
        thread_id: &str,
        context: &CallContext,
        config: &Config,
    ) -> Self {
        Self {
            slot: Arc::clone(slot),
            router: Arc::clone(router),
            thread_id: thread_id.to_owned(),
            context: context.clone(),
            approver: config.approver.clone(),
            host_tools: config.host_tools.clone(),
            answer_limit: config.line_limit / 2,
            answering: Vec::new(),
        }
    }

    /// Takes the questions that wait in the state of the turn, up to a limit. They are refused when that is full.
    pub(super) fn take(&mut self) {
        while self.answering.len() < MAX_ASKED
            && let Some(question) = self.slot.with(TurnState::next_question).flatten()
        {
            let Question { id, subject, wait } = *question;
            self.answering.push(match subject {
                Subject::Approval(asked) => Box::pin(self.ask(id, asked, wait)),
                Subject::HostCall(call) => Box::pin(self.call(id, call)),
            });
        }
    }

    /// Waits until one of the questions is answered.
    pub(super) async fn answered(&mut self) {
        // Tools that wait do not make outputs that would wait in memory.
        self.router.room().await;
        any(&mut self.answering).await;
    }

    /// Drops the approver's futures and the calls of the program's tools.
    pub(super) fn clear(&mut self) {
        self.answering.clear();
    }

    /// Returns the future that asks the approver and answers Codex. Dropping it leaves the question open.
    fn ask(
        &self,
        id: Box<RawValue>,
        asked: Asked,
        waits: Option<WaitForApproval>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (slot, router) = (Arc::clone(&self.slot), Arc::clone(&self.router));
        let (approver, thread_id) = (self.approver.clone(), self.thread_id.clone());
        let tool = slot.with(|turn| turn.ask_about(&asked)).flatten();
        let context = tool.as_ref().map_or(&self.context, |(context, _)| context);
        let context = context.child();
        // The approver's call ends before that of the tool, whatever ends them: dropped in this order.
        let mut wait = tool.map(|(context, open)| (Wait::begin(&context), open));
        async move {
            let answer = match approver {
                _ if !asked.is_known() => {
                    Answer::Decided(Decision::decline("Codex did not say what it would do"))
                }
                Some((approver, deadline)) => {
                    let request =
                        ApprovalRequest::new(Arc::clone(&asked.tool), asked.action.clone())
                            .with_context(context);
                    Ask::new(approver, request, deadline).await
                }
                None => Answer::Decided(Decision::decline("the program has no approver")),
            };
            if let Some((wait, _)) = &mut wait {
                wait.end(&answer);
            }
            decided(&slot, &asked, &answer);
            drop(wait.take());
            drop(waits);
            let result = match &answer {
                Answer::Decided(decision) => asked.answer(decision),
                Answer::TimedOut | Answer::Failed(_) => asked.refusal(),
            };
            let cancels = matches!(answer, Answer::Decided(Decision::Cancel));
            let is_ended_by_codex = asked.cancels_turn();
            if cancels && !is_ended_by_codex {
                // Before the answer, by which the turn would go on.
                router.send_interrupt(&thread_id);
            }
            router.answer(&id, &result);
            if cancels && is_ended_by_codex {
                // Codex ends the turn, but not the commands that it has in the background.
                router.send_interrupt(&thread_id);
            }
        }
    }

    /// Returns the future that runs a tool of this program and answers Codex. Dropping it cancels the tool.
    fn call(&self, id: Box<RawValue>, call: HostCall) -> impl Future<Output = ()> + Send + 'static {
        let (slot, router) = (Arc::clone(&self.slot), Arc::clone(&self.router));
        let (call_id, tool) = (call.call_id.clone(), Arc::clone(&call.tool));
        let limit = self.answer_limit;
        let running = match &self.host_tools {
            // The thread has tools of another program.
            None => {
                slot.with(|turn| turn.refuse(Some(&call_id), ErrorClass::ToolNotFound.into()));
                Err(host_calls::refusal(
                    "the program has no such tool: continue without it",
                ))
            }
            Some(tools) => {
                let (context, ticket) = self.context.with_ticket_of_child(Vec::new());
                let called = |turn: &mut TurnState| turn.host_called(&call_id, ticket.clone());
                if !call.is_over && slot.with(called) == Some(true) {
                    let running = tools.call(call.with_context(context), ticket.clone());
                    Ok((ticket, running))
                } else {
                    Err(host_calls::not_now())
                }
            }
        };
        async move {
            let (ticket, running) = match running {
                Ok(running) => running,
                Err(refusal) => return router.answer(&id, &refusal),
            };
            let result = tokio::select! {
                // First: a stack that gets ready now would open a call that Codex has ended.
                biased;
                goes_on = given_up(&slot, &call_id, &ticket) => {
                    if goes_on {
                        // Codex ignores it, and has no open request.
                        router.answer(&id, &host_calls::not_now());
                    }
                    return;
                }
                result = running => result,
            };
            // Before the answer, by which Codex ends the item.
            let answered = |answer| slot.with(|turn| turn.host_answered(&call_id, &ticket, answer));
            let error = match result {
                Ok(output) => {
                    answered(Ok(()));
                    if router.answer_within(limit, &id, &host_calls::answer(&output)) {
                        return;
                    }
                    ToolError::OutputTooLarge { tool, limit }
                }
                Err(error) => error,
            };
            answered(Err(error.classification()));
            router.answer(&id, &host_calls::refusal(error.message_for_model()));
        }
    }
}

/// Notes what the approver decided, before Codex tells what came of it.
fn decided(slot: &Slot, asked: &Asked, answer: &Answer) {
    let refusal = asked.refused(answer);
    slot.with(|turn| {
        if let Some(refusal) = refusal {
            turn.refuse(asked.item_id.as_deref(), refusal);
        }
        if matches!(answer, Answer::Decided(Decision::Cancel)) {
            turn.cancelled_by(&asked.tool);
        }
    });
}

/// Waits until Codex has ended a call of a tool before the tool has answered, as it does by an interrupt, or has ended the
/// turn. Returns whether the turn goes on.
///
/// It has no waker of its own: the turn's future polls it whenever the slot has changed.
async fn given_up(slot: &Slot, call_id: &str, ticket: &Ticket) -> bool {
    std::future::poll_fn(|_| {
        let waits = slot.with(|turn| turn.waits_for_host(call_id, ticket));
        match waits {
            Some(true) => Poll::Pending,
            Some(false) | None => Poll::Ready(!slot.is_over()),
        }
    })
    .await
}

/// Waits until one of some futures is ready, and removes it.
async fn any(futures: &mut Vec<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    std::future::poll_fn(|cx| {
        let ready = futures
            .iter_mut()
            .position(|future| future.as_mut().poll(cx).is_ready());
        match ready {
            Some(place) => {
                drop(futures.swap_remove(place));
                Poll::Ready(())
            }
            None => Poll::Pending,
        }
    })
    .await;
}
