//! One turn, from its request to its result.

use std::{future::Future, pin::Pin, sync::Arc, task::Poll, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    approvals::Asked,
    builder::{Approver, Config},
    requests,
    router::{Lease, RequestError, Router, START_THREAD},
    servers::Servers,
    slot::{Question, Slot},
    thread_locks::{ThreadGuard, ThreadLocks},
    threads::ThreadSettings,
    turn_state::TurnState,
    turns::ActiveTurn,
};
use crate::{
    approval::{Answer, ApprovalRequest, Ask, Decision, Wait},
    call::{CallContext, CodexRequest},
    event::{millis, names},
    turn::{
        Progress, Turn, TurnError, TurnRequest,
        calls::{content, short},
        cli::{check, thread_id},
        wire::Fields,
    },
};

/// The most questions that an approver is asked at once in a turn.
const MAX_ASKED: usize = 64;

/// The maximum that a turn waits for a slow reader of its progress after it has ended.
const MAX_DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the server has time before it is asked again to load a thread that it unloads. It takes some
/// milliseconds.
const FIRST_LOAD_PAUSE: Duration = Duration::from_millis(5);
const MAX_LOAD_PAUSE: Duration = Duration::from_secs(1);

/// What the turns of a service share.
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) servers: Servers,
    pub(super) locks: ThreadLocks,
}

/// A turn that a server may run. Dropping it interrupts the turn.
struct RunningTurn {
    slot: Arc<Slot>,
    context: CallContext,
    thread_id: String,
    /// `None` once the turn is let go.
    held: Option<(ThreadGuard, Lease)>,
    approver: Option<(Approver, Duration)>,
    questions: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// A thread that is loaded, and what a turn of it needs.
struct LoadedThread {
    id: String,
    lock: ThreadGuard,
    lease: Lease,
    /// With what it is loaded.
    settings: ThreadSettings,
    /// How long the turn waited for the turns of the thread before it, in milliseconds.
    waited: Option<f64>,
}

impl Shared {
    pub(super) async fn run(
        &self,
        request: TurnRequest,
        active: Arc<ActiveTurn>,
        stopping: impl Future<Output = ()>,
    ) -> Result<Turn, TurnError> {
        let request = self.prepare(request).await?;
        let wanted = requests::settings(&request)?;
        let mut thread = tokio::select! {
            thread = self.thread(&request, &wanted, &active) => thread?,
            () = stopping => return Err(TurnError::Stopped),
        };
        let params = requests::start_turn(&thread.id, &request, &wanted, &mut thread.settings)?;

        let before = thread.lease.router().usage(&thread.id);
        let state = TurnState::new(&request, &thread.id, before, self.config.output_limit);
        let mut turn = RunningTurn::begin(
            request.context().clone(),
            state,
            &thread,
            self.config.approver.clone(),
        );
        turn.held = Some((thread.lock, thread.lease));
        if turn.slot.is_over() {
            return turn.finish();
        }
        let trace = requests::trace(request.context());
        // Not dropped by a result of the turn: the answer may come after it.
        let router = Arc::clone(turn.router());
        let started = router
            .start_turn(&turn.thread_id, params, trace, &turn.slot)
            .await;
        match started {
            Ok(_) => {}
            // The server may run the turn all the same, so the turn is interrupted.
            Err(error @ RequestError::Unanswered(..)) => return Err(error.into()),
            Err(error) => turn.slot.fail(error.into()),
        }
        turn.ended().await;
        let timeout = self.config.exit_grace.min(MAX_DELIVERY_TIMEOUT);
        deliver_all(&turn.slot, timeout).await;
        turn.finish()
    }

    /// Adds the defaults, and checks the request.
    async fn prepare(&self, request: TurnRequest) -> Result<TurnRequest, TurnError> {
        requests::check(&request)?;
        let request = request.with_defaults(&self.config.defaults);
        let context = request.context();
        if let Some(model) = request.model() {
            context.record(names::REQUEST_MODEL, model.to_owned());
        }
        let mut config = self.config.config.iter().rev();
        let of_service = config.find(|(key, _)| key == "model_provider");
        let of_service = of_service.and_then(|(_, value)| value.as_str());
        if let Some(provider) = request.provider().or(of_service) {
            context.record(names::PROVIDER_NAME, short(provider));
        }
        content::record_prompt(&request);
        if request.working_directory().is_none() && request.images().is_empty() {
            check(&request)?;
            return Ok(request);
        }
        // The checks look at the disk.
        let checked = tokio::task::spawn_blocking(move || check(&request).map(|()| request));
        checked.await.map_err(|source| TurnError::Io {
            action: "checking the request on a blocking thread",
            // Not by `into`, which would hide the `JoinError` that the classification looks for.
            source: std::io::Error::other(source),
        })?
    }

    /// Locks and loads the thread of a request.
    async fn thread(
        &self,
        request: &TurnRequest,
        wanted: &ThreadSettings,
        active: &Arc<ActiveTurn>,
    ) -> Result<LoadedThread, TurnError> {
        let Some(id) = thread_id(request) else {
            return self.new_thread(wanted, active).await;
        };
        let began = Instant::now();
        let lock = self.locks.lock(&id).await;
        let waited = millis(began.elapsed());
        let lease = self.servers.lease(Some(&id), active).await?;
        let router = lease.router();
        let is_ready = router.thread(&id).is_some_and(|(_, is_ready)| is_ready);
        if !is_ready {
            self.load(router, &id, wanted, active).await?;
        }
        // A thread that was still loaded keeps its settings, whatever the request to load it says. It is looked at
        // after the answer: a turn that was dropped may have loaded the thread meanwhile.
        let settings = router
            .thread(&id)
            .map_or_else(|| wanted.clone(), |(settings, _)| settings);
        Ok(LoadedThread {
            id,
            lock,
            lease,
            settings,
            waited: Some(waited),
        })
    }

    /// Has the server load a thread. It refuses that while it unloads the thread, and tells of the unload a moment
    /// before it allows a load.
    async fn load(
        &self,
        router: &Router,
        thread_id: &str,
        wanted: &ThreadSettings,
        active: &Arc<ActiveTurn>,
    ) -> Result<(), RequestError> {
        let params = requests::resume_thread(thread_id, wanted);
        let (began, patience) = (Instant::now(), self.config.request_timeout);
        let mut pause = FIRST_LOAD_PAUSE;
        loop {
            let loading = router.load("thread/resume", params.clone(), wanted.clone(), active);
            match loading.await {
                Err(RequestError::Rejected(_, rejection))
                    if rejection.is_closing() && began.elapsed() < patience =>
                {
                    // An error means that the server does not tell it.
                    let _ = timeout(patience, router.closed(thread_id)).await;
                    sleep(pause).await;
                    pause = MAX_LOAD_PAUSE.min(2 * pause);
                }
                loaded => return loaded.map(drop),
            }
        }
    }

    async fn new_thread(
        &self,
        wanted: &ThreadSettings,
        active: &Arc<ActiveTurn>,
    ) -> Result<LoadedThread, TurnError> {
        let lease = self.servers.lease(None, active).await?;
        let params = requests::start_thread(wanted);
        let router = lease.router();
        let answer = router
            .load(START_THREAD, params, wanted.clone(), active)
            .await?;
        let fields = Fields::from_line(answer.get().as_bytes()).ok();
        let thread = fields.and_then(|fields| fields.object("thread"));
        let id = thread.and_then(|thread| thread.text("id"));
        let id = id.ok_or_else(|| TurnError::Rejected {
            method: START_THREAD,
            code: 0,
            message: "the answer has no id of a thread".to_owned(),
        })?;
        // Nobody else knows the thread.
        let lock = self.locks.lock(&id).await;
        Ok(LoadedThread {
            id,
            lock,
            lease,
            settings: wanted.clone(),
            waited: None,
        })
    }
}

// === impl RunningTurn ===

impl RunningTurn {
    fn begin(
        context: CallContext,
        mut state: TurnState,
        thread: &LoadedThread,
        approver: Option<(Approver, Duration)>,
    ) -> Self {
        if let Some(waited) = thread.waited {
            state.record_thread_wait(waited);
        }
        let router = thread.lease.router();
        let (model, provider) = router.model(&thread.id);
        let model = thread.settings.model.clone().or(model);
        state.set_model(model.as_deref().map(short), provider.as_deref().map(short));
        let slot = Arc::new(Slot::new(state));
        router.attach(&thread.id, &slot, thread.settings.clone());
        Self {
            slot,
            context,
            thread_id: thread.id.clone(),
            held: None,
            approver,
            questions: Vec::new(),
        }
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
