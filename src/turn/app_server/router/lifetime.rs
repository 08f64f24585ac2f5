//! How long a server lives.

use std::{process::ExitStatus, sync::Arc};

use tokio::{sync::watch, time::Instant};

use super::{Over, Reason, RequestError, Router, requests::Effect};

/// What the connection has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::turn::app_server) enum Check {
    GoOn,
    /// The server has no turns any more, and is to end.
    Close,
    /// The same, of a server that does not do what it is told.
    Kill,
}

// === impl Router ===

impl Router {
    /// Waits until something has changed that the connection decides by.
    pub(in crate::turn::app_server) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Returns when the connection has to look again.
    pub(in crate::turn::app_server) fn next_deadline(&self) -> Option<Instant> {
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
    pub(in crate::turn::app_server) fn check(&self, now: Instant, is_stopping: bool) -> Check {
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
            match &pending.effect {
                Effect::Control => self.lock().control -= 1,
                Effect::Turn(_, thread_id) => self.did_not_begin(thread_id),
                Effect::None | Effect::Load(..) => {}
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
    pub(in crate::turn::app_server) fn close(&self) {
        let mut state = self.lock();
        state.is_retiring = true;
        state.is_closing = true;
    }

    /// Fails all that waits for the server, which has ended.
    pub(in crate::turn::app_server) fn end(
        &self,
        reason: Reason,
        status: Option<ExitStatus>,
        stderr: String,
    ) {
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
    pub(in crate::turn::app_server) fn over(&self) -> Option<Arc<Over>> {
        self.over.borrow().clone()
    }

    /// Waits until the server has ended.
    pub(in crate::turn::app_server) async fn ended(&self) -> Arc<Over> {
        wait_for_end(&mut self.over.subscribe()).await
    }

    pub(super) fn give_up(&self) {
        let mut state = self.lock();
        state.is_broken = true;
        state.is_retiring = true;
        drop(state);
        self.changed.notify_one();
    }
}

async fn wait_for_end(over: &mut watch::Receiver<Option<Arc<Over>>>) -> Arc<Over> {
    match over.wait_for(Option::is_some).await {
        Ok(over) => over.clone().unwrap_or_else(|| Arc::new(Over::unknown())),
        Err(_) => Arc::new(Over::unknown()),
    }
}
