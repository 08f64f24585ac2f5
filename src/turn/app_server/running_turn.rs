//! A turn that a server runs, from its start to its result.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::{
    builder::Config,
    questions::Questions,
    requests,
    router::{Lease, RequestError, Router},
    slot::Slot,
    thread_locks::ThreadGuard,
    thread_tools::ThreadTools,
    threads::ThreadSettings,
    turn_state::TurnState,
};
use crate::{
    call::{CallContext, CodexRequest},
    event::PhaseClock,
    turn::{
        Progress, Turn, TurnError, TurnRequest,
        calls::short,
        progress_queue::MAX_DELIVERY_TIMEOUT,
        served_calls::ServedCalls,
        tool_server::{self, ServingTools},
    },
};

/// A turn that a server may run. Dropping it interrupts the turn.
pub(super) struct RunningTurn {
    slot: Arc<Slot>,
    phases: Arc<PhaseClock>,
    context: CallContext,
    thread_id: String,
    /// `None` once the turn is let go.
    held: Option<(ThreadGuard, Lease)>,
    questions: Questions,
    /// Runs the calls that come in by the MCP server of the request.
    serving: Option<ServingTools>,
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
    pub(super) fn begin(
        request: &TurnRequest,
        thread: LoadedThread,
        config: &Config,
        phases: &Arc<PhaseClock>,
    ) -> Self {
        let LoadedThread {
            id,
            lock,
            lease,
            settings,
            waited,
        } = thread;
        let router = lease.router();
        let mut state = TurnState::new(
            request,
            &id,
            router.usage(&id),
            config.output_limit,
            config.host_tools.is_some(),
            phases,
        );
        if let Some(waited) = waited {
            state.record_thread_wait(waited);
        }
        let (model, provider) = router.model(&id);
        let model = settings.model.clone().or(model);
        state.set_model(model.as_deref().map(short), provider.as_deref().map(short));
        // A request without the server takes no calls, although the thread has it.
        let tools = settings.tools.as_ref();
        let tools = tools.filter(|_| request.tool_server().is_some());
        let serving = tools.map(|ThreadTools(tools)| {
            let calls = ServedCalls::default();
            state.set_mcp_server(tools.server().to_owned(), calls.clone());
            tools.serve(request.context().clone(), calls)
        });
        let slot = Arc::new(Slot::new(state));
        router.attach(&id, &slot, settings);
        let context = request.context().clone();
        Self {
            questions: Questions::new(&slot, router, &id, &context, config),
            slot,
            phases: Arc::clone(phases),
            context,
            thread_id: id,
            held: Some((lock, lease)),
            serving,
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

    /// Waits until the turn has ended, and answers the questions of Codex meanwhile.
    async fn ended(&mut self) {
        loop {
            self.questions.take();
            if self.slot.is_over() {
                // The rest waits for nothing any more.
                self.stop_calls();
                return;
            }
            self.next().await;
        }
    }

    /// Waits until something happens.
    async fn next(&mut self) {
        let Self {
            slot,
            questions,
            serving,
            ..
        } = self;
        tokio::select! {
            () = slot.changed() => {}
            () = questions.answered() => {}
            () = deliver(slot) => {}
            never = tool_server::serve(serving) => match never {},
        }
    }

    /// Drops the approver's futures and the calls of the program's tools.
    fn stop_calls(&mut self) {
        self.questions.clear();
        self.serving = None;
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
        self.phases.freeze();
        // They end before the calls that they are a part of.
        self.stop_calls();
        drop(self.slot.take());
        self.let_go();
    }
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
