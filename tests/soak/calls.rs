//! Calls that are under way at once, and how their callers saw them end.

use std::{future::Future, sync::Arc, time::Duration};

use codex_telemetry::{Operation, Outcome};
use fastrand::Rng;
use tokio::{
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
};

use crate::tally::{Outcomes, count};

/// What holds all calls up until they have all begun.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

/// How long a caller waits for its call, once the gate is open.
#[derive(Clone, Copy)]
pub(crate) enum Caller {
    Waits,
    /// Drops the call's future.
    GivesUp(Duration),
    /// Has its task aborted at once, from another thread.
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
        // An error is what comes when it is open.
        let _ = self.0.acquire().await;
    }
}

// === impl Caller ===

impl Caller {
    /// A caller of any kind, of a call that comes to an end by itself.
    pub(crate) fn any(rng: &mut Rng) -> Self {
        match rng.u8(..5) {
            0..3 => Self::Waits,
            _ => Self::impatient(rng),
        }
    }

    /// A caller that does not wait for the end.
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
            let gives_up = async {
                gate.pass().await;
                match caller {
                    Caller::GivesUp(after) => tokio::time::sleep(after).await,
                    Caller::Waits | Caller::Aborts => std::future::pending().await,
                }
            };
            tokio::select! {
                answer = call => answer.map_or(Outcome::Error, |_| Outcome::Ok),
                () = gives_up => Outcome::Cancelled,
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

    /// Waits for all, and adds what their callers saw.
    pub(crate) async fn end(mut self, seen: &mut Outcomes) {
        while let Some(ended) = self.tasks.join_next().await {
            let outcome = ended.unwrap_or_else(|error| {
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
