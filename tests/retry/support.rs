use std::{
    future::{Ready, ready},
    sync::{Arc, Mutex},
    time::Duration,
};

use codex_telemetry::{Call, Classification, ErrorClass, Operation, RetryPolicy};
use tokio::time::Instant;
use tower::{
    Service, ServiceBuilder, ServiceExt,
    retry::{Retry, budget::TpsBudget},
};

use crate::checked::MemorySink;

pub(crate) const WORK: Operation = Operation::Custom("work");

/// An error with a class and a retry-after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Failure(pub(crate) ErrorClass, pub(crate) Option<Duration>);

pub(crate) const LOST: Failure = Failure(ErrorClass::Transport, None);

/// A policy for [`Failure`]s.
pub(crate) type TestPolicy = RetryPolicy<fn(&Failure) -> Classification>;

/// A service that fails until an attempt of a given number, and records when it was called.
#[derive(Clone, Debug)]
pub(crate) struct Flaky {
    failure: Failure,
    /// The first attempt that succeeds.
    succeeds_from: u32,
    calls: Arc<Mutex<Vec<(u32, Instant)>>>,
}

impl Flaky {
    pub(crate) fn new(failure: Failure, succeeds_from: u32) -> Self {
        let calls = Arc::default();
        Self {
            failure,
            succeeds_from,
            calls,
        }
    }

    pub(crate) fn never_succeeds(failure: Failure) -> Self {
        Self::new(failure, u32::MAX)
    }

    /// Returns the numbers of the attempts, in order.
    pub(crate) fn attempts(&self) -> Vec<u32> {
        let calls = self.calls.lock().unwrap();
        calls.iter().map(|(attempt, _)| *attempt).collect()
    }

    /// Returns the time between each attempt and the next.
    pub(crate) fn waits(&self) -> Vec<Duration> {
        let calls = self.calls.lock().unwrap();
        calls.windows(2).map(|two| two[1].1 - two[0].1).collect()
    }

    /// Returns this service with retries around it.
    pub(crate) fn retried(&self, policy: TestPolicy) -> Retry<TestPolicy, Self> {
        ServiceBuilder::new().retry(policy).service(self.clone())
    }

    /// Makes one call of this service with retries around it.
    pub(crate) async fn call(&self, policy: TestPolicy) -> Result<u32, Failure> {
        self.retried(policy).oneshot(request()).await
    }
}

impl Service<Call<()>> for Flaky {
    type Response = u32;
    type Error = Failure;
    type Future = Ready<Result<u32, Failure>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Failure>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<()>) -> Self::Future {
        let attempt = call.context.attempt();
        self.calls.lock().unwrap().push((attempt, Instant::now()));
        ready(if attempt < self.succeeds_from {
            Err(self.failure)
        } else {
            Ok(attempt)
        })
    }
}

pub(crate) fn classify(failure: &Failure) -> Classification {
    Classification::from(failure.0).with_retry_after(failure.1)
}

pub(crate) fn policy() -> TestPolicy {
    RetryPolicy::new().classifier(classify)
}

/// Returns a budget that is never spent.
pub(crate) fn unlimited() -> TpsBudget {
    TpsBudget::new(Duration::from_secs(1), 1_000_000, 1.0)
}

pub(crate) fn request() -> Call<()> {
    Call::new(WORK, ())
}

pub(crate) fn turn() -> Call<()> {
    Call::new(Operation::Turn, ())
}

/// Returns the names of the span events of the last call in `sink`.
pub(crate) fn span_events(sink: &MemorySink) -> Vec<String> {
    let events = sink.events();
    let last = events.last().expect("there is a call");
    assert!(last.kind().is_terminal());
    let events = last.span_events().iter();
    events.map(|event| event.name.to_string()).collect()
}
