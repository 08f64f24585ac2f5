use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{MockResponse, Request, payload::Payload};

/// The state that the receiver's thread and its handle share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Counts changes, so that `wait_until` misses none while it does not hold the lock.
    version: u64,
    pub(super) response: MockResponse,
    pub(super) next: VecDeque<MockResponse>,
    pub(super) requests: Vec<Request>,
    pub(super) received: Payload,
    pub(super) connections: usize,
    pub(super) decode_failures: Vec<String>,
    pub(super) connection_failures: Vec<String>,
}

// === impl Shared ===

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The closure of `wait_until` may panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn next_response(&self) -> MockResponse {
        let mut state = self.lock();
        let next = state.next.pop_front();
        next.unwrap_or_else(|| state.response.clone())
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

    /// Waits until the condition holds, and returns whether it did. Checks it after each change, without the
    /// lock, because the condition calls methods of the receiver.
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
    /// Returns a summary of what was received, for the message of a failed wait.
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
            let (path, replied) = (&request.path, request.replied);
            let _ = writeln!(text, "- {path}: {} bytes, {replied:?}", request.body_bytes);
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
