use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::model::Recorded;

/// How long a test waits for a request: far longer than a busy machine needs.
const DEADLINE: Duration = Duration::from_secs(60);

/// Holds a reply of the model until the test opens it. Clones are the same gate.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<watch::Sender<State>>);

#[derive(Debug, Default)]
struct State {
    /// The requests that have come to the gate.
    requests: Vec<Recorded>,
    is_open: bool,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Waits until a request waits for its reply, or has waited, and returns the first one.
    pub(crate) async fn reached(&self) -> Recorded {
        let mut state = self.0.subscribe();
        let reached = state.wait_for(|state| !state.requests.is_empty());
        let reached = tokio::time::timeout(DEADLINE, reached).await;
        let state = reached.unwrap_or_else(|_| panic!("no request within {DEADLINE:?}"));
        state.unwrap().requests[0].clone()
    }

    /// Lets all replies pass, now and later.
    pub(crate) fn open(&self) {
        self.0.send_modify(|state| state.is_open = true);
    }

    /// Waits until the gate is open.
    pub(crate) async fn pass(&self, request: Recorded) {
        self.0.send_modify(|state| state.requests.push(request));
        let mut state = self.0.subscribe();
        // There is no error: the sender lives as long as `self`.
        let _ = state.wait_for(|state| state.is_open).await;
    }
}
