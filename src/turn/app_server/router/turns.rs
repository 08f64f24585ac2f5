//! The turns that use a server.

use std::{pin::pin, sync::Arc};

use serde_json::json;
use tokio::time::Instant;

use super::{Lease, Release, Router, router::State};
use crate::turn::{
    TurnError, Usage,
    app_server::{
        slot::Slot, thread_locks::ThreadGuard, threads::ThreadSettings, turns::ActiveTurn,
    },
};

impl Router {
    /// Begins the use of the server; `None` if it takes no new turns. A server that is to end takes those of the
    /// threads that it has loaded.
    pub(in crate::turn::app_server) fn lease(
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
        if let Some(id) = thread_id {
            state.threads.reserve(id, &Arc::downgrade(active));
        }
        Some(Lease {
            router: Arc::clone(self),
            _active: Arc::clone(active),
        })
    }

    /// Returns whether the server takes new turns.
    pub(in crate::turn::app_server) fn takes_turns(&self) -> bool {
        !self.lock().is_retiring
    }

    /// Returns whether the server has a thread loaded.
    pub(in crate::turn::app_server) fn has_thread(&self, thread_id: &str) -> bool {
        self.lock().threads.contains(thread_id)
    }

    /// Waits until the server has unloaded a thread, or has ended.
    pub(in crate::turn::app_server) async fn closed(&self, thread_id: &str) {
        loop {
            let mut closed = pin!(self.closed.notified());
            closed.as_mut().enable();
            if !self.has_thread(thread_id) {
                return;
            }
            tokio::select! {
                () = closed => {}
                _ = self.ended() => return,
            }
        }
    }

    /// Returns how many threads the server has loaded, as far as this program knows.
    pub(in crate::turn::app_server) fn thread_count(&self) -> usize {
        self.lock().threads.len()
    }

    /// Returns with what a thread that is loaded runs, and whether it is ready for a turn.
    pub(in crate::turn::app_server) fn thread(
        &self,
        thread_id: &str,
    ) -> Option<(ThreadSettings, bool)> {
        let state = self.lock();
        let thread = state.threads.get(thread_id)?;
        let is_ready = thread.is_subscribed && !thread.is_doubtful;
        Some((thread.settings.clone(), is_ready))
    }

    /// Returns what a thread that is loaded has used.
    pub(in crate::turn::app_server) fn usage(&self, thread_id: &str) -> Option<Usage> {
        self.lock().threads.get(thread_id)?.usage
    }

    /// Returns the model of a thread that is loaded, and its provider.
    pub(in crate::turn::app_server) fn model(
        &self,
        thread_id: &str,
    ) -> (Option<String>, Option<String>) {
        let state = self.lock();
        let thread = state.threads.get(thread_id);
        thread.map_or((None, None), |thread| {
            (thread.model.clone(), thread.provider.clone())
        })
    }

    /// Has a turn get what the server tells of a thread.
    pub(in crate::turn::app_server) fn attach(
        &self,
        thread_id: &str,
        slot: &Arc<Slot>,
        settings: ThreadSettings,
    ) {
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

    /// Notes that the server was not told of the turn that has a thread.
    pub(in crate::turn::app_server) fn did_not_begin(&self, thread_id: &str) {
        self.lock().threads.did_not_begin(thread_id);
    }

    /// Ends a turn that the server does not run any more.
    pub(in crate::turn::app_server) fn detach(&self, thread_id: &str) {
        let mut state = self.lock();
        state.completed += 1;
        for thread_id in state.threads.detach(thread_id, self.limits.max_threads) {
            state.let_go(&thread_id);
        }
        drop(state);
        self.send_waiting();
    }

    /// Interrupts the turn of a thread, which was dropped, and keeps the thread locked until the turn has ended.
    pub(in crate::turn::app_server) fn interrupt(
        &self,
        thread_id: &str,
        slot: &Slot,
        lock: ThreadGuard,
        lease: Lease,
    ) {
        let release = Release {
            deadline: Instant::now().checked_add(self.limits.interrupt_timeout),
            _lock: lock,
            _lease: lease,
        };
        // Before the thread has the release, by which its next turn could begin: that one would be interrupted.
        self.interrupt_thread(thread_id);
        let (refused, agents) = {
            let mut state = self.lock();
            let refused = state.threads.release_later(thread_id, release);
            (refused, state.threads.agents(thread_id))
        };
        drop(refused);
        // Those that begin later are interrupted then.
        for agent in &agents {
            self.interrupt_thread(agent);
        }
        self.changed.notify_one();
        // It may have ended before the thread had the release.
        if slot.has_ended() {
            self.release(thread_id);
        }
    }

    /// Interrupts all turns, since the service stops.
    pub(in crate::turn::app_server) fn stop(&self) {
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
    pub(in crate::turn::app_server) fn send_interrupt(&self, thread_id: &str) {
        let agents = self.lock().threads.agents(thread_id);
        self.interrupt_thread(thread_id);
        for agent in &agents {
            self.interrupt_thread(agent);
        }
    }

    pub(super) fn interrupt_thread(&self, thread_id: &str) {
        self.lock().interrupt(thread_id);
        self.send_waiting();
    }

    /// Lets go of what a dropped turn has kept.
    pub(super) fn release(&self, thread_id: &str) {
        let release = self.lock().threads.take_release(thread_id);
        if release.is_some() {
            self.detach(thread_id);
        }
    }

    /// Notes that the server was started ahead of its first turn.
    pub(in crate::turn::app_server) fn started_ahead(&self) {
        self.lock().idle_since = Some(Instant::now());
        self.changed.notify_one();
    }

    /// Has the server get no new turns, and end with its last one.
    pub(in crate::turn::app_server) fn retire(&self) {
        self.lock().is_retiring = true;
        self.changed.notify_one();
    }
}

// === impl State ===

impl State {
    fn interrupt(&mut self, thread_id: &str) {
        // An empty id means the turn that runs, also when the server is only about to begin it.
        let turn = json!({"threadId": thread_id, "turnId": ""});
        self.waiting.push_back(("turn/interrupt", turn));
        self.clean(thread_id);
    }

    /// Lets go of a thread: the server unloads it, and ends what belongs to it.
    pub(super) fn let_go(&mut self, thread_id: &str) {
        for agent in self.threads.take_agents(thread_id) {
            self.interrupt(&agent);
            self.unsubscribe(&agent);
        }
        self.clean(thread_id);
        self.unsubscribe(thread_id);
    }

    fn clean(&mut self, thread_id: &str) {
        let thread = json!({"threadId": thread_id});
        self.waiting
            .push_back(("thread/backgroundTerminals/clean", thread));
    }

    fn unsubscribe(&mut self, thread_id: &str) {
        let thread = json!({"threadId": thread_id});
        self.waiting.push_back(("thread/unsubscribe", thread));
    }
}
