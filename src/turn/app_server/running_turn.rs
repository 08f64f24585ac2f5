//! A turn that a server runs, from its start to its result.

use std::{future::Future, pin::Pin, sync::Arc, task::Poll, time::Duration};

use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::{
    approvals::Asked,
    builder::{Approver, Config},
    requests,
    router::{Lease, RequestError, Router},
    slot::{Question, Slot},
    thread_locks::ThreadGuard,
    threads::ThreadSettings,
    turn_state::TurnState,
};
use crate::{
    approval::{Answer, ApprovalRequest, Ask, Decision, Wait},
    call::{CallContext, CodexRequest},
    turn::{
        Progress, Turn, TurnError, TurnRequest, calls::short, progress_queue::MAX_DELIVERY_TIMEOUT,
    },
};

/// The most questions that an approver is asked at once in a turn.
const MAX_ASKED: usize = 64;

/// A turn that a server may run. Dropping it interrupts the turn.
pub(super) struct RunningTurn {
    slot: Arc<Slot>,
    context: CallContext,
    thread_id: String,
    /// `None` once the turn is let go.
    held: Option<(ThreadGuard, Lease)>,
    approver: Option<(Approver, Duration)>,
    questions: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// A thread that is loaded, and what a turn of it needs.
pub(super) struct LoadedThread {
    pub(super) id: String,
    pub(super) lock: ThreadGuard,
    pub(super) lease: Lease,
    /// With what it is loaded.
    pub(super) settings: ThreadSettings,
    /// How long the turn waited for the turns of the thread before it, in milliseconds.
    pub(super) waited: Option<f64>,
}

// === impl RunningTurn ===

impl RunningTurn {
    /// Gives a thread to a turn.
    pub(super) fn begin(request: &TurnRequest, thread: LoadedThread, config: &Config) -> Self {
        let LoadedThread {
            id,
            lock,
            lease,
            settings,
            waited,
        } = thread;
        let router = lease.router();
        let mut state = TurnState::new(request, &id, router.usage(&id), config.output_limit);
        if let Some(waited) = waited {
            state.record_thread_wait(waited);
        }
        let (model, provider) = router.model(&id);
        let model = settings.model.clone().or(model);
        state.set_model(model.as_deref().map(short), provider.as_deref().map(short));
        let slot = Arc::new(Slot::new(state));
        router.attach(&id, &slot, settings);
        Self {
            slot,
            context: request.context().clone(),
            thread_id: id,
            held: Some((lock, lease)),
            approver: config.approver.clone(),
            questions: Vec::new(),
        }
    }

    /// Has the server run the turn, and returns its result. A slow reader of its progress is waited for at most
    /// `patience`.
    pub(super) async fn run(
        mut self,
        params: Value,
        patience: Duration,
    ) -> Result<Turn, TurnError> {
        if self.slot.is_over() {
            return self.finish();
        }
        let trace = requests::trace(&self.context);
        // Not dropped by a result of the turn: the answer may come after it.
        let router = Arc::clone(self.router());
        let started = router
            .start_turn(&self.thread_id, params, trace, &self.slot)
            .await;
        match started {
            Ok(_) => {}
            // The server may run the turn all the same, so the turn is interrupted.
            Err(error @ RequestError::Unanswered(..)) => return Err(error.into()),
            Err(error) => self.slot.fail(error.into()),
        }
        self.ended().await;
        deliver_all(&self.slot, patience.min(MAX_DELIVERY_TIMEOUT)).await;
        self.finish()
    }

    /// Waits until the turn has ended, and asks the approver meanwhile.
    async fn ended(&mut self) {
        loop {
            // More of them wait in the turn's state, and are refused when that is full.
            while self.questions.len() < MAX_ASKED
                && let Some((question, context)) =
                    self.slot.with(TurnState::next_question).flatten()
            {
                let answering = self.answer(question, context.as_ref());
                self.questions.push(Box::pin(answering));
            }
            if self.slot.is_over() {
                // The rest waits for nothing any more.
                self.questions.clear();
                return;
            }
            self.next().await;
        }
    }

    /// Waits until something happens.
    async fn next(&mut self) {
        let Self {
            slot, questions, ..
        } = self;
        tokio::select! {
            () = slot.changed() => {}
            () = any(questions) => {}
            () = deliver(slot) => {}
        }
    }

    /// Returns the future that asks the approver and answers Codex. Dropping it leaves the question open.
    fn answer(
        &self,
        question: Box<Question>,
        tool: Option<&CallContext>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (slot, router) = (Arc::clone(&self.slot), Arc::clone(self.router()));
        let (approver, thread_id) = (self.approver.clone(), self.thread_id.clone());
        let mut wait = tool.map(Wait::begin);
        let context = tool.unwrap_or(&self.context).child();
        async move {
            let Question { id, asked } = *question;
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
            if let Some(mut wait) = wait.take() {
                wait.end(&answer);
            }
            decided(&slot, &asked, &answer);
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

    fn finish(mut self) -> Result<Turn, TurnError> {
        let state = self.slot.take();
        self.let_go();
        match state {
            Some(state) => state.finish(),
            // It is taken here alone.
            None => Err(TurnError::Interrupted),
        }
    }

    fn router(&self) -> &Arc<Router> {
        let (_, lease) = self
            .held
            .as_ref()
            .expect("the turn is not let go before it is dropped");
        lease.router()
    }

    /// Gives the thread and the server back, or has the server end the turn first.
    fn let_go(&mut self) {
        let Some((lock, lease)) = self.held.take() else {
            return;
        };
        let router = Arc::clone(lease.router());
        if self.slot.may_run() {
            router.interrupt(&self.thread_id, &self.slot, lock, lease);
        } else {
            if !self.slot.was_sent() {
                router.did_not_begin(&self.thread_id);
            }
            router.detach(&self.thread_id);
        }
    }
}

impl Drop for RunningTurn {
    fn drop(&mut self) {
        // The approver's futures end before the calls that they are a part of.
        self.questions.clear();
        drop(self.slot.take());
        self.let_go();
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

/// Waits for room in the channel for progress, and sends what has waited longest. Never returns while nothing
/// waits.
async fn deliver(slot: &Slot) {
    let channel: Option<mpsc::Sender<Progress>> = slot
        .with(|turn| turn.progress.blocked_on().cloned())
        .flatten();
    let Some(channel) = channel else {
        return std::future::pending().await;
    };
    match channel.reserve().await {
        Ok(permit) => {
            if let Some(progress) = slot.next_progress() {
                permit.send(progress);
            }
        }
        Err(_) => {
            slot.with(|turn| turn.progress.close());
        }
    }
}

/// Delivers the progress that waits, until the timeout.
async fn deliver_all(slot: &Slot, timeout: Duration) {
    let all = async {
        while slot.with(|turn| turn.progress.blocked_on().is_some()) == Some(true) {
            deliver(slot).await;
        }
    };
    // An error means that the rest stays.
    let _ = timeout_at(Instant::now() + timeout, all).await;
}
