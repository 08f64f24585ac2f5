use std::{
    future::{Ready, ready},
    sync::{Arc, Mutex},
    time::Duration,
};

use codex_telemetry::{Call, Classification, ErrorClass, Operation, RetryPolicy};
use tokio::time::Instant;
use tower::{Service, ServiceBuilder, ServiceExt, retry::Retry};

use crate::checked::MemorySink;

pub(crate) const WORK: Operation = Operation::Custom("work");

/// An error of the tests: its class, and the hint that comes with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Failure(pub(crate) ErrorClass, pub(crate) Option<Duration>);

pub(crate) const LOST: Failure = Failure(ErrorClass::Transport, None);

/// A policy by a classifier of [`Failure`].
pub(crate) type TestPolicy = RetryPolicy<fn(&Failure) -> Classification>;

/// A service that fails until an attempt of a given number, and knows when it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Flaky {
    failure: Failure,
    /// The first attempt that is answered.
    answers_from: u32,
    asked: Arc<Mutex<Vec<(u32, Instant)>>>,
}

impl Flaky {
    pub(crate) fn new(failure: Failure, answers_from: u32) -> Self {
        let asked = Arc::default();
        Self {
            failure,
            answers_from,
            asked,
        }
    }

    pub(crate) fn never_answers(failure: Failure) -> Self {
        Self::new(failure, u32::MAX)
    }

    /// The numbers of the attempts so far, in order.
    pub(crate) fn attempts(&self) -> Vec<u32> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(attempt, _)| *attempt).collect()
    }

    /// How long it was between each attempt and the next.
    pub(crate) fn waits(&self) -> Vec<Duration> {
        let asked = self.asked.lock().unwrap();
        asked.windows(2).map(|two| two[1].1 - two[0].1).collect()
    }

    /// This service with retries around it.
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
        self.asked.lock().unwrap().push((attempt, Instant::now()));
        ready(if attempt < self.answers_from {
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

pub(crate) fn request() -> Call<()> {
    Call::new(WORK, ())
}

/// The names of the moments within the call that ended last in `sink`.
pub(crate) fn moments(sink: &MemorySink) -> Vec<String> {
    let events = sink.events();
    let last = events.last().expect("there was a call");
    assert!(last.kind().is_terminal());
    let moments = last.span_events().iter();
    moments.map(|moment| moment.name.to_string()).collect()
}
