use std::{
    collections::VecDeque,
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};

use serde::Serialize;
use serde_json::{Value, value::RawValue};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::Instant,
};

use super::{Over, Router};
use crate::turn::{
    TurnError,
    app_server::{decode::Rejection, slot::Slot, threads::ThreadSettings, turns::ActiveTurn},
};

/// The method that makes a new thread.
pub(in crate::turn::app_server) const START_THREAD: &str = "thread/start";

/// The most requests beside them that wait for an answer: interrupts, and those that let threads go. At about 128
/// requests in all the server refuses more.
const MAX_CONTROL: usize = 48;

/// A request that waits for its answer.
pub(super) struct Pending {
    pub(in crate::turn::app_server) method: &'static str,
    /// One that is too far away for the clock is `None`.
    pub(in crate::turn::app_server) deadline: Option<Instant>,
    pub(in crate::turn::app_server) reply: oneshot::Sender<Result<Box<RawValue>, RequestError>>,
    pub(in crate::turn::app_server) effect: Effect,
    pub(in crate::turn::app_server) _permit: Option<OwnedSemaphorePermit>,
}

/// What an answer does beside being returned: whoever asked may be gone.
pub(super) enum Effect {
    None,
    /// It makes room for another request whose answer is of no interest.
    Control,
    /// It loads a thread for a turn.
    Load(Box<ThreadSettings>, Weak<ActiveTurn>),
    /// It starts the turn of a thread.
    Turn(Arc<Slot>, String),
}

/// Why a request has no result.
#[derive(Debug)]
pub(in crate::turn::app_server) enum RequestError {
    Rejected(&'static str, Rejection),
    Unanswered(&'static str, Duration),
    Over(Arc<Over>),
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

/// The answer to a request of the server.
#[derive(Serialize)]
struct Answer<'a> {
    id: &'a RawValue,
    result: &'a Value,
}

/// The trace to which a request belongs.
#[derive(Serialize)]
pub(in crate::turn::app_server) struct Trace {
    pub(in crate::turn::app_server) traceparent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::turn::app_server) tracestate: Option<String>,
}

// === impl Router ===

impl Router {
    /// Sends a request, and returns its answer.
    ///
    /// # Cancel safety
    ///
    /// A request that was sent has its effect.
    pub(in crate::turn::app_server) async fn request(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<Box<RawValue>, RequestError> {
        self.request_with(method, params, Effect::None, None).await
    }

    /// Sends a request that loads a thread for a turn.
    pub(in crate::turn::app_server) async fn load(
        &self,
        method: &'static str,
        params: Value,
        settings: ThreadSettings,
        user: &Arc<ActiveTurn>,
    ) -> Result<Box<RawValue>, RequestError> {
        let effect = Effect::Load(Box::new(settings), Arc::downgrade(user));
        self.request_with(method, params, effect, None).await
    }

    /// Sends the request that starts a turn.
    pub(in crate::turn::app_server) async fn start_turn(
        &self,
        thread_id: &str,
        params: Value,
        trace: Option<Trace>,
        slot: &Arc<Slot>,
    ) -> Result<Box<RawValue>, RequestError> {
        let effect = Effect::Turn(Arc::clone(slot), thread_id.to_owned());
        self.request_with("turn/start", params, effect, trace).await
    }

    pub(super) async fn request_with(
        &self,
        method: &'static str,
        params: Value,
        effect: Effect,
        trace: Option<Trace>,
    ) -> Result<Box<RawValue>, RequestError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let turn = match &effect {
            Effect::Turn(slot, thread_id) => {
                slot.mark_sent();
                Some(thread_id.clone())
            }
            _ => None,
        };
        if let Some(thread_id) = params.get("threadId").and_then(Value::as_str) {
            self.send_waiting_of(thread_id);
        }
        // An error means that the connection is over, which the reply says as well.
        let reply = self.send(method, &params, effect, trace.as_ref(), permit.ok());
        if let Some(thread_id) = turn.filter(|_| self.lock().is_stopping) {
            // The interrupt may have been sent before the turn, and then had no effect.
            self.send_interrupt(&thread_id);
        }
        match reply.await {
            Ok(reply) => reply,
            // The connection is over, or about to be.
            Err(_) => Err(RequestError::Over(self.ended().await)),
        }
    }

    /// Sends the requests that wait, as far as there is room for them.
    pub(super) fn send_waiting(&self) {
        let _order = self.order();
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
    pub(super) fn send_waiting_of(&self, thread_id: &str) {
        let _order = self.order();
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

    pub(super) fn send(
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
    pub(in crate::turn::app_server) fn notify(&self, method: &'static str) {
        self.write(&Line::<()> {
            id: None,
            method,
            params: None,
            trace: None,
        });
    }

    /// Answers a request of the server.
    pub(in crate::turn::app_server) fn answer(&self, id: &RawValue, result: &Value) {
        self.write(&Answer { id, result });
    }

    /// Answers a request of the server, unless the line of the answer is longer than the limit. Returns whether it does.
    pub(in crate::turn::app_server) fn answer_within(
        &self,
        limit: usize,
        id: &RawValue,
        result: &Value,
    ) -> bool {
        let Some(line) = to_line(&Answer { id, result }) else {
            return false;
        };
        let fits = line.len() <= limit;
        if fits {
            self.write_line(line);
        }
        fits
    }

    /// Waits until there is room for a large answer.
    pub(in crate::turn::app_server) async fn room(&self) {
        self.backlog.room().await;
    }

    pub(super) fn write(&self, line: &impl Serialize) {
        if let Some(line) = to_line(line) {
            self.write_line(line);
        }
    }

    fn write_line(&self, line: Vec<u8>) {
        if let Err(mpsc::error::TrySendError::Full(_)) =
            self.outgoing.try_send(self.backlog.add(line))
        {
            // The server does not read.
            self.give_up();
        }
    }
}

fn to_line(line: &impl Serialize) -> Option<Vec<u8>> {
    let mut line = serde_json::to_vec(line).ok()?;
    line.push(b'\n');
    Some(line)
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
