//! Concurrent calls, and the outcomes that their callers see.

use std::{future::Future, sync::Arc, time::Duration};

use codex_telemetry::{Operation, Outcome};
use fastrand::Rng;
use tokio::{
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
};

use crate::counter::{Outcomes, count};

/// Holds all calls until all have started.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

/// What a caller does once the gate is open.
#[derive(Clone, Copy)]
pub(crate) enum Caller {
    /// Awaits the response.
    Waits,
    /// Drops the future of the call after this time.
    GivesUp(Duration),
    /// Has its task aborted by another thread.
    Aborts,
}

/// The calls of one operation.
pub(crate) struct Calls {
    operation: Operation,
    tasks: JoinSet<Outcome>,
    to_abort: Vec<AbortHandle>,
}

// === impl Gate ===

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(crate) fn open(&self) {
        self.0.close();
    }

    pub(crate) async fn pass(&self) {
        // Closing the semaphore opens the gate: it ends the wait with an error.
        let _ = self.0.acquire().await;
    }
}

// === impl Caller ===

impl Caller {
    /// Returns a random caller, for a call that ends by itself.
    pub(crate) fn any(rng: &mut Rng) -> Self {
        match rng.u8(..5) {
            0..3 => Self::Waits,
            _ => Self::impatient(rng),
        }
    }

    /// Returns a random caller that cancels its call.
    pub(crate) fn impatient(rng: &mut Rng) -> Self {
        if rng.bool() {
            Self::Aborts
        } else {
            Self::GivesUp(Duration::from_micros(rng.u64(..200_000)))
        }
    }
}

// === impl Calls ===

impl Calls {
    pub(crate) fn new(operation: Operation) -> Self {
        Self {
            operation,
            tasks: JoinSet::new(),
            to_abort: Vec::new(),
        }
    }

    pub(crate) fn begin<T, E>(
        &mut self,
        caller: Caller,
        gate: &Gate,
        call: impl Future<Output = Result<T, E>> + Send + 'static,
    ) {
        let gate = gate.clone();
        let task = self.tasks.spawn(async move {
            let cancelled = async {
                gate.pass().await;
                match caller {
                    Caller::GivesUp(after) => tokio::time::sleep(after).await,
                    Caller::Waits | Caller::Aborts => std::future::pending().await,
                }
            };
            tokio::select! {
                response = call => response.map_or(Outcome::Error, |_| Outcome::Ok),
                () = cancelled => Outcome::Cancelled,
            }
        });
        if matches!(caller, Caller::Aborts) {
            self.to_abort.push(task);
        }
    }

    pub(crate) fn abort(&mut self, rng: &mut Rng) {
        rng.shuffle(&mut self.to_abort);
        self.to_abort.drain(..).for_each(|task| task.abort());
    }

    /// Waits for all calls and adds the outcomes that their callers see.
    pub(crate) async fn join(mut self, seen: &mut Outcomes) {
        while let Some(joined) = self.tasks.join_next().await {
            let outcome = joined.unwrap_or_else(|error| {
                if error.is_panic() {
                    Outcome::Panic
                } else {
                    Outcome::Cancelled
                }
            });
            count(seen, self.operation.as_str(), outcome);
        }
    }
}
