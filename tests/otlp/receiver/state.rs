use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Behaviour, Request, payload::Payload};

/// What the receiver's thread and its owner share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Counts changes, so that a waiter who looks without the lock misses none.
    version: u64,
    pub(super) behaviour: Behaviour,
    pub(super) next: VecDeque<Behaviour>,
    pub(super) requests: Vec<Request>,
    pub(super) received: Payload,
    pub(super) connections: usize,
    pub(super) decode_failures: Vec<String>,
    pub(super) connection_failures: Vec<String>,
}

// === impl Shared ===

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panics in a `wait_until` closure is no reason to hide what it was about.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn next_behaviour(&self) -> Behaviour {
        let mut state = self.lock();
        let next = state.next.pop_front();
        next.unwrap_or_else(|| state.behaviour.clone())
    }

    pub(super) fn record(&self, request: Request, payload: Payload) {
        self.change(|state| {
            state.requests.push(request);
            state.received.append(payload);
        });
    }

    pub(super) fn connected(&self) {
        self.change(|state| state.connections += 1);
    }

    pub(super) fn decode_failed(&self, failure: String) {
        self.change(|state| state.decode_failures.push(failure));
    }

    pub(super) fn connection_failed(&self, failure: String) {
        self.change(|state| state.connection_failures.push(failure));
    }

    /// Waits until the condition holds, and returns whether it did. It is tried after each change,
    /// and without the lock, since it looks at the receiver through its public methods.
    pub(super) fn wait_until(&self, within: Duration, condition: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + within;
        loop {
            let seen = self.lock().version;
            if condition() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let unchanged = |state: &mut State| state.version == seen;
            drop(
                self.changed
                    .wait_timeout_while(self.lock(), left, unchanged),
            );
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.version += 1;
        drop(state);
        self.changed.notify_all();
    }
}

// === impl State ===

impl State {
    /// Returns what has come so far, for the message of a test that waited in vain.
    pub(super) fn summary(&self) -> String {
        let Payload {
            spans,
            metrics,
            logs,
        } = &self.received;
        let names = |names: Vec<&str>| format!("{} {names:?}", names.len());
        let mut text = format!(
            "connections: {}\nspans: {}\nmetrics: {}\nlog records: {}\nrequests: {}\n",
            self.connections,
            names(spans.iter().map(|span| &*span.name).collect()),
            names(metrics.iter().map(|metric| &*metric.name).collect()),
            names(logs.iter().map(|log| &*log.event_name).collect()),
            self.requests.len(),
        );
        for request in &self.requests {
            let (path, answered) = (&request.path, request.answered);
            let _ = writeln!(text, "- {path}: {} bytes, {answered:?}", request.body_bytes);
        }
        for failure in &self.decode_failures {
            let _ = writeln!(text, "did not decode: {failure}");
        }
        for failure in &self.connection_failures {
            let _ = writeln!(text, "connection failed: {failure}");
        }
        text
    }
}
