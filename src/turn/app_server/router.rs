//! Where the lines of a server go: answers to whoever asked, and what is about a thread to the turn that has it.
//!
//! It does no input or output, and knows no process.

use std::{
    collections::{BTreeMap, VecDeque},
    process::ExitStatus,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::Serialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    time::Instant,
};

use super::{
    approvals::{self, Incoming},
    decode::{self, Message, Rejection, Update},
    slot::{Question, Slot},
    thread_locks::ThreadGuard,
    threads::{ThreadSettings, Threads},
    turns::ActiveTurn,
};
use crate::turn::{TurnError, Usage, wire::Fields};

/// The method that makes a new thread.
pub(super) const START_THREAD: &str = "thread/start";

/// The most requests that wait for an answer. The server answers 64 at once; of many more it loses some.
const MAX_PENDING: usize = 64;

/// The most requests beside them that wait for an answer: interrupts, and those that let threads go. At about 128
/// requests in all the server refuses more.
const MAX_CONTROL: usize = 48;

/// The most lines that wait to be written. Only a server that does not read has so many.
const MAX_OUTGOING: usize = 1024;

/// The notifications that are ignored on purpose, and not counted as unknown.
pub(super) const IGNORED: &[&str] = &[
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

/// What this program knows of a server: the requests that wait, the threads that are loaded, and the turns.
pub(super) struct Router {
    state: Mutex<State>,
    outgoing: mpsc::Sender<Vec<u8>>,
    permits: Arc<Semaphore>,
    next_id: AtomicU64,
    /// Tells the connection that a deadline or the number of turns may have changed.
    changed: Notify,
    over: watch::Sender<Option<Arc<Over>>>,
    limits: Limits,
}

/// The limits of a connection.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) request_timeout: Duration,
    pub(super) interrupt_timeout: Duration,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) max_threads: usize,
}

struct State {
    pending: BTreeMap<u64, Pending>,
    /// How many of them are of this program alone, and not of a turn.
    control: usize,
    /// Those that wait to be sent.
    waiting: VecDeque<(&'static str, Value)>,
    threads: Threads,
    /// How many turns use the server, with those that are being interrupted.
    turns: usize,
    /// How many turns the server has completed.
    completed: u64,
    /// `None` before its first turn, unless it was started ahead.
    idle_since: Option<Instant>,
    /// Whether the server gets no new turns.
    is_retiring: bool,
    /// Whether the server does not do what it is told.
    is_broken: bool,
    /// Whether the server is being ended.
    is_closing: bool,
    /// Whether the service stops.
    is_stopping: bool,
}

/// A request that waits for its answer.
struct Pending {
    method: &'static str,
    /// One that is too far away for the clock is `None`.
    deadline: Option<Instant>,
    reply: oneshot::Sender<Result<Box<RawValue>, RequestError>>,
    effect: Effect,
    _permit: Option<OwnedSemaphorePermit>,
}

/// What an answer does beside being returned: whoever asked may be gone.
enum Effect {
    None,
    /// It makes room for another request whose answer is of no interest.
    Control,
    /// It loads a thread.
    Load(Box<ThreadSettings>),
    /// It starts the turn of a thread.
    Turn(Arc<Slot>, String),
}

/// Why a request has no result.
#[derive(Debug)]
pub(super) enum RequestError {
    Rejected(&'static str, Rejection),
    Unanswered(&'static str, Duration),
    Over(Arc<Over>),
}

/// How a server ended.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) reason: Reason,
    /// `None` if it is unknown.
    pub(super) status: Option<ExitStatus>,
    /// The end of its standard error.
    pub(super) stderr: String,
    pub(super) at: Instant,
    /// Whether it had completed a turn.
    pub(super) was_useful: bool,
}

/// Why a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It was told to.
    Closed,
    /// It did so by itself.
    Exited,
    /// It closed its output, and did not exit.
    Hung { after: Duration },
    /// It wrote a line that is too long.
    TooLong { line: u64, limit: usize },
    /// The service stops.
    Stopped,
}

/// The use of a server by a turn.
pub(super) struct Lease {
    router: Arc<Router>,
    _active: Arc<ActiveTurn>,
}

/// What a turn leaves behind that was dropped: it is let go when the server has ended the turn.
pub(super) struct Release {
    /// One that is too far away for the clock is `None`.
    deadline: Option<Instant>,
    _lock: ThreadGuard,
    _lease: Lease,
}

/// A line to the server.
#[derive(Serialize)]
struct Line<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a Trace>,
}

/// The trace to which a request belongs.
#[derive(Serialize)]
pub(super) struct Trace {
    pub(super) traceparent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tracestate: Option<String>,
}

// === impl Router ===

impl Router {
    /// Returns a router, and what it has to write.
    pub(super) fn new(limits: Limits) -> (Arc<Self>, mpsc::Receiver<Vec<u8>>) {
        let (outgoing, lines) = mpsc::channel(MAX_OUTGOING);
        let router = Self {
            state: Mutex::new(State {
                pending: BTreeMap::new(),
                control: 0,
                waiting: VecDeque::new(),
                threads: Threads::default(),
                turns: 0,
                completed: 0,
                idle_since: None,
                is_retiring: false,
                is_broken: false,
                is_closing: false,
                is_stopping: false,
            }),
            outgoing,
            permits: Arc::new(Semaphore::new(MAX_PENDING)),
            next_id: AtomicU64::new(1),
            changed: Notify::new(),
            over: watch::Sender::new(None),
            limits,
        };
        (Arc::new(router), lines)
    }

    // --- Turns

    /// Begins the use of the server; `None` if it takes no new turns. A server that is to end takes those of the
    /// threads that it has loaded.
    pub(super) fn lease(
        self: &Arc<Self>,
        thread_id: Option<&str>,
        active: &Arc<ActiveTurn>,
    ) -> Option<Lease> {
        let mut state = self.lock();
        let has_thread = thread_id.is_some_and(|id| state.threads.contains(id));
        let is_open = !state.is_closing && !state.is_broken && self.over().is_none();
        if !is_open || state.is_retiring && !has_thread {
            return None;
        }
        state.turns += 1;
        Some(Lease {
            router: Arc::clone(self),
            _active: Arc::clone(active),
        })
    }

    /// Returns whether the server takes new turns.
    pub(super) fn takes_turns(&self) -> bool {
        !self.lock().is_retiring
    }

    /// Returns whether the server has a thread loaded.
    pub(super) fn has_thread(&self, thread_id: &str) -> bool {
        self.lock().threads.contains(thread_id)
    }

    /// Returns how many threads the server has loaded, as far as this program knows.
    pub(super) fn thread_count(&self) -> usize {
        self.lock().threads.len()
    }

    /// Returns with what a thread that is loaded runs, and whether it is ready for a turn.
    pub(super) fn thread(&self, thread_id: &str) -> Option<(ThreadSettings, bool)> {
        let state = self.lock();
        let thread = state.threads.get(thread_id)?;
        let is_ready = thread.is_subscribed && !thread.is_doubtful;
        Some((thread.settings.clone(), is_ready))
    }

    /// Returns what a thread that is loaded has used.
    pub(super) fn usage(&self, thread_id: &str) -> Option<Usage> {
        self.lock().threads.get(thread_id)?.usage
    }

    /// Returns the model of a thread that is loaded, and its provider.
    pub(super) fn model(&self, thread_id: &str) -> (Option<String>, Option<String>) {
        let state = self.lock();
        let thread = state.threads.get(thread_id);
        thread.map_or((None, None), |thread| {
            (thread.model.clone(), thread.provider.clone())
        })
    }

    /// Has a turn get what the server tells of a thread.
    pub(super) fn attach(&self, thread_id: &str, slot: &Arc<Slot>, settings: ThreadSettings) {
        let mut state = self.lock();
        state.threads.attach(thread_id, slot, settings);
        let failure = match self.over() {
            Some(over) => Some(over.error()),
            None => state.is_stopping.then_some(TurnError::Stopped),
        };
        drop(state);
        // The others were interrupted, or have failed, before.
        if let Some(error) = failure {
            slot.fail(error);
        }
    }

    /// Ends a turn that the server does not run any more.
    pub(super) fn detach(&self, thread_id: &str) {
        let lines = {
            let mut state = self.lock();
            state.completed += 1;
            let unused = state.threads.detach(thread_id, self.limits.max_threads);
            unused.into_iter().collect::<Vec<_>>()
        };
        for thread_id in lines {
            self.let_go(&thread_id);
        }
    }

    /// Interrupts the turn of a thread, which was dropped, and keeps the thread locked until the turn has ended.
    pub(super) fn interrupt(&self, thread_id: &str, slot: &Slot, lock: ThreadGuard, lease: Lease) {
        let release = Release {
            deadline: Instant::now().checked_add(self.limits.interrupt_timeout),
            _lock: lock,
            _lease: lease,
        };
        let refused = self.lock().threads.release_later(thread_id, release);
        drop(refused);
        self.send_interrupt(thread_id);
        self.changed.notify_one();
        // It may have ended before the thread had the release.
        if slot.has_ended() {
            self.release(thread_id);
        }
    }

    /// Interrupts all turns, since the service stops.
    pub(super) fn stop(&self) {
        let running = {
            let mut state = self.lock();
            state.is_retiring = true;
            state.is_stopping = true;
            state.threads.running()
        };
        for (thread_id, slot) in running {
            slot.stop();
            self.send_interrupt(&thread_id);
        }
        self.changed.notify_one();
    }

    /// Interrupts the turn of a thread. Its commands and sub-agents would go on by themselves.
    pub(super) fn send_interrupt(&self, thread_id: &str) {
        let agents = self.lock().threads.agents(thread_id);
        self.interrupt_thread(thread_id);
        for agent in &agents {
            self.interrupt_thread(agent);
        }
    }

    fn interrupt_thread(&self, thread_id: &str) {
        // An empty id means the turn that runs, also when the server is only about to begin it.
        let turn = json!({"threadId": thread_id, "turnId": ""});
        self.send_control("turn/interrupt", turn);
        let thread = json!({"threadId": thread_id});
        self.send_control("thread/backgroundTerminals/clean", thread);
    }

    /// Lets go of a thread: the server unloads it, and ends what belongs to it.
    fn let_go(&self, thread_id: &str) {
        let agents = self.lock().threads.take_agents(thread_id);
        for agent in &agents {
            self.interrupt_thread(agent);
            self.send_control("thread/unsubscribe", json!({"threadId": agent}));
        }
        let thread = json!({"threadId": thread_id});
        self.send_control("thread/backgroundTerminals/clean", thread.clone());
        self.send_control("thread/unsubscribe", thread);
    }

    /// Lets go of what a dropped turn has kept.
    fn release(&self, thread_id: &str) {
        let release = self.lock().threads.take_release(thread_id);
        if release.is_some() {
            self.detach(thread_id);
        }
    }

    /// Notes that the server was started ahead of its first turn.
    pub(super) fn started_ahead(&self) {
        self.lock().idle_since = Some(Instant::now());
        self.changed.notify_one();
    }

    /// Has the server get no new turns, and end with its last one.
    pub(super) fn retire(&self) {
        self.lock().is_retiring = true;
        self.changed.notify_one();
    }

    // --- Requests

    /// Sends a request, and returns its answer.
    ///
    /// # Cancel safety
    ///
    /// A request that was sent has its effect.
    pub(super) async fn request(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<Box<RawValue>, RequestError> {
        self.request_with(method, params, Effect::None, None).await
    }

    /// Sends a request that loads a thread.
    pub(super) async fn load(
        &self,
        method: &'static str,
        params: Value,
        settings: ThreadSettings,
    ) -> Result<Box<RawValue>, RequestError> {
        let effect = Effect::Load(Box::new(settings));
        self.request_with(method, params, effect, None).await
    }

    /// Sends the request that starts a turn.
    pub(super) async fn start_turn(
        &self,
        thread_id: &str,
        params: Value,
        trace: Option<Trace>,
        slot: &Arc<Slot>,
    ) -> Result<Box<RawValue>, RequestError> {
        let effect = Effect::Turn(Arc::clone(slot), thread_id.to_owned());
        self.request_with("turn/start", params, effect, trace).await
    }

    async fn request_with(
        &self,
        method: &'static str,
        params: Value,
        effect: Effect,
        trace: Option<Trace>,
    ) -> Result<Box<RawValue>, RequestError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        if let Effect::Turn(slot, _) = &effect {
            slot.mark_sent();
        }
        if let Some(thread_id) = params.get("threadId").and_then(Value::as_str) {
            self.send_waiting_of(thread_id);
        }
        // An error means that the connection is over, which the reply says as well.
        let reply = self.send(method, &params, effect, trace.as_ref(), permit.ok());
        match reply.await {
            Ok(reply) => reply,
            // The connection is over, or about to be.
            Err(_) => Err(RequestError::Over(self.ended().await)),
        }
    }

    /// Sends a request whose answer is of no interest, now or once others are answered.
    fn send_control(&self, method: &'static str, params: Value) {
        let mut state = self.lock();
        state.waiting.push_back((method, params));
        drop(state);
        self.send_waiting();
    }

    /// Sends the requests that wait, as far as there is room for them.
    fn send_waiting(&self) {
        loop {
            let next = {
                let mut state = self.lock();
                if state.control >= MAX_CONTROL {
                    return;
                }
                let next = state.waiting.pop_front();
                state.control += usize::from(next.is_some());
                next
            };
            let Some((method, params)) = next else {
                return;
            };
            drop(self.send(method, &params, Effect::Control, None, None));
        }
    }

    /// Sends the requests that wait and are about a thread, before another one about it: an interrupt of its last
    /// turn would end its next one, and a thread that is let go after it was loaded again is not told of.
    fn send_waiting_of(&self, thread_id: &str) {
        let of_thread = {
            let mut state = self.lock();
            let waiting = std::mem::take(&mut state.waiting);
            let is_of_thread =
                |(_, params): &(&str, Value)| params["threadId"].as_str() == Some(thread_id);
            let (of_thread, others): (VecDeque<_>, _) = waiting.into_iter().partition(is_of_thread);
            state.waiting = others;
            state.control += of_thread.len();
            of_thread
        };
        for (method, params) in of_thread {
            drop(self.send(method, &params, Effect::Control, None, None));
        }
    }

    fn send(
        &self,
        method: &'static str,
        params: &Value,
        effect: Effect,
        trace: Option<&Trace>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> oneshot::Receiver<Result<Box<RawValue>, RequestError>> {
        let id = self.next_id.fetch_add(1, Relaxed);
        let (reply, answer) = oneshot::channel();
        let pending = Pending {
            method,
            deadline: Instant::now().checked_add(self.limits.request_timeout),
            reply,
            effect,
            _permit: permit,
        };
        {
            let mut state = self.lock();
            // Nobody would take it out.
            if self.over().is_some() {
                return answer;
            }
            state.pending.insert(id, pending);
        }
        self.write(&Line {
            id: Some(id),
            method,
            params: Some(params),
            trace,
        });
        self.changed.notify_one();
        answer
    }

    /// Sends a notification.
    pub(super) fn notify(&self, method: &'static str) {
        self.write(&Line::<()> {
            id: None,
            method,
            params: None,
            trace: None,
        });
    }

    /// Answers a request of the server.
    pub(super) fn answer(&self, id: &RawValue, result: &Value) {
        self.write(&json!({"id": id, "result": result}));
    }

    fn write(&self, line: &impl Serialize) {
        let Ok(mut line) = serde_json::to_vec(line) else {
            return;
        };
        line.push(b'\n');
        if let Err(mpsc::error::TrySendError::Full(_)) = self.outgoing.try_send(line) {
            // The server does not read.
            self.give_up();
        }
    }

    fn give_up(&self) {
        let mut state = self.lock();
        state.is_broken = true;
        state.is_retiring = true;
        drop(state);
        self.changed.notify_one();
    }

    // --- What the server writes

    /// Takes a line of the server.
    pub(super) fn route(&self, line: &[u8]) {
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
            (Effect::Load(settings), Ok(result)) => {
                let fields = Fields::from_line(result.get().as_bytes()).ok();
                let text = |key| fields.as_ref().and_then(|fields| fields.text(key));
                let thread = fields.as_ref().and_then(|fields| fields.object("thread"));
                if let Some(id) = thread.and_then(|thread| thread.text("id")) {
                    let (model, provider) = (text("model"), text("modelProvider"));
                    let mut state = self.lock();
                    state.threads.loaded(&id, *settings);
                    state.threads.has_model(&id, model, provider);
                    drop(state);
                    loaded = Some(id);
                }
            }
            (Effect::Turn(slot, _), Ok(result)) => {
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
            (Effect::None | Effect::Load(_), _) => {}
        }
        let is_lost = pending.reply.send(answer).is_err();
        // Nobody knows the id of a new thread then. One that was resumed stays for a while, as after a turn.
        if let Some(id) = loaded.filter(|_| is_lost && pending.method == START_THREAD) {
            self.lock().threads.forget(&id);
            self.let_go(&id);
        }
    }

    fn asked(&self, id: &RawValue, method: &str, params: &Fields<'_>) {
        let refusal = match approvals::decode(method, params) {
            Incoming::Ask(asked) => {
                let (thread_id, turn_id) = decode::ids(params);
                let slot = thread_id.and_then(|id| self.lock().threads.slot(&id));
                let question = Question {
                    id: id.to_owned(),
                    asked,
                };
                match slot {
                    Some(slot) => match slot.ask(turn_id.as_deref(), question) {
                        Ok(()) => return,
                        Err(question) => question.asked.refusal(),
                    },
                    None => question.asked.refusal(),
                }
            }
            Incoming::Refuse(refusal) => refusal,
            Incoming::Unknown => {
                let error =
                    json!({"code": -32601, "message": "the client does not know the method"});
                return self.write(&json!({"id": id, "error": error}));
            }
        };
        self.answer(id, &refusal);
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

    // --- The connection

    /// Waits until something has changed that the connection decides by.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Returns when the connection has to look again.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let state = self.lock();
        let request = state.pending.values().next();
        let request = request.and_then(|pending| pending.deadline);
        let idle = match self.limits.idle_timeout {
            Some(timeout) if state.turns == 0 && !state.is_retiring => {
                let since = state.idle_since;
                since.and_then(|since| since.checked_add(timeout))
            }
            _ => None,
        };
        let release = state.threads.first_release();
        [request, idle, release].into_iter().flatten().min()
    }

    /// Does what is due. Returns what the connection has to do.
    pub(super) fn check(&self, now: Instant, is_stopping: bool) -> Check {
        let mut overdue = Vec::new();
        let mut given_up = Vec::new();
        let check = {
            let mut state = self.lock();
            while let Some(first) = state.pending.first_entry() {
                if first.get().deadline.is_none_or(|deadline| deadline > now) {
                    break;
                }
                overdue.push(first.remove());
            }
            given_up.extend(state.threads.overdue_releases(now));
            if !overdue.is_empty() || !given_up.is_empty() {
                state.is_retiring = true;
            }
            state.is_broken |= !given_up.is_empty();
            let is_idle = state.turns == 0;
            if let (Some(timeout), Some(since)) = (self.limits.idle_timeout, state.idle_since)
                && is_idle
                && now.saturating_duration_since(since) >= timeout
            {
                state.is_retiring = true;
            }
            // A turn whose future nobody polls does not hold up a service that stops.
            let is_idle = is_idle || is_stopping && state.threads.running().is_empty();
            if !(state.is_retiring && is_idle) {
                Check::GoOn
            } else if state.is_broken {
                state.is_closing = true;
                Check::Kill
            } else {
                state.is_closing = true;
                Check::Close
            }
        };
        for pending in overdue {
            if let Effect::Control = pending.effect {
                self.lock().control -= 1;
            }
            let timeout = self.limits.request_timeout;
            // The server may still do what it was asked for, so a turn that asked is interrupted.
            let error = RequestError::Unanswered(pending.method, timeout);
            let _ = pending.reply.send(Err(error));
        }
        if !given_up.is_empty() {
            drop(given_up);
            self.changed.notify_one();
        }
        check
    }

    /// Marks the server as one that is being ended.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_retiring = true;
        state.is_closing = true;
    }

    /// Fails all that waits for the server, which has ended.
    pub(super) fn end(&self, reason: Reason, status: Option<ExitStatus>, stderr: String) {
        let (over, pending, running, releases) = {
            let mut state = self.lock();
            let over = Arc::new(Over {
                reason,
                status,
                stderr,
                at: Instant::now(),
                was_useful: state.completed > 0,
            });
            self.over.send_replace(Some(Arc::clone(&over)));
            let pending = std::mem::take(&mut state.pending);
            let running = state.threads.running();
            (over, pending, running, state.threads.clear())
        };
        for (_, slot) in running {
            slot.fail(over.error());
        }
        drop(releases);
        for (_, pending) in pending {
            let _ = pending
                .reply
                .send(Err(RequestError::Over(Arc::clone(&over))));
        }
        self.permits.close();
    }

    /// Returns how the server ended, if it has.
    pub(super) fn over(&self) -> Option<Arc<Over>> {
        self.over.borrow().clone()
    }

    /// Waits until the server has ended.
    pub(super) async fn ended(&self) -> Arc<Over> {
        wait_for_end(&mut self.over.subscribe()).await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the connection has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    GoOn,
    /// The server has no turns any more, and is to end.
    Close,
    /// The same, of a server that does not do what it is told.
    Kill,
}

async fn wait_for_end(over: &mut watch::Receiver<Option<Arc<Over>>>) -> Arc<Over> {
    match over.wait_for(Option::is_some).await {
        Ok(over) => over.clone().unwrap_or_else(|| Arc::new(Over::unknown())),
        Err(_) => Arc::new(Over::unknown()),
    }
}

// === impl Over ===

impl Over {
    /// Returns the end of a server whose connection is gone.
    fn unknown() -> Self {
        Self {
            reason: Reason::Exited,
            status: None,
            stderr: String::new(),
            at: Instant::now(),
            was_useful: false,
        }
    }

    /// Returns the error of a turn that the server ran.
    pub(super) fn error(&self) -> TurnError {
        match self.reason {
            Reason::Stopped => TurnError::Stopped,
            Reason::TooLong { line, limit } => TurnError::Protocol {
                line,
                reason: format!("it is longer than the limit of {limit} bytes"),
            },
            Reason::Hung { after } => TurnError::Hung { after },
            Reason::Closed | Reason::Exited => TurnError::ServerExited {
                status: self.status,
                stderr: self.stderr.clone(),
            },
        }
    }
}

// === impl RequestError ===

impl From<RequestError> for TurnError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Rejected(method, Rejection { code, message }) => Self::Rejected {
                method,
                code,
                message,
            },
            RequestError::Unanswered(method, after) => Self::Unanswered { method, after },
            RequestError::Over(over) => over.error(),
        }
    }
}

// === impl Lease ===

impl Lease {
    pub(super) fn router(&self) -> &Arc<Router> {
        &self.router
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.router.lock();
        state.turns -= 1;
        state.idle_since = Some(Instant::now());
        drop(state);
        self.router.changed.notify_one();
    }
}

// === impl Release ===

impl Release {
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}
