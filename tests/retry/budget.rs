use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
    time::Duration,
};

use codex_telemetry::{ErrorClass, ServiceBuilderExt};
use tower::{
    ServiceBuilder, ServiceExt,
    retry::budget::{Budget, TpsBudget},
};

use crate::{checked::MemorySink, support::*};

/// A budget with a balance, to which each success adds one.
#[derive(Debug, Default)]
struct Balance(AtomicI32);

impl Budget for Balance {
    fn deposit(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn withdraw(&self) -> bool {
        let taken = self.0.fetch_update(Relaxed, Relaxed, |balance| {
            (balance > 0).then(|| balance - 1)
        });
        taken.is_ok()
    }
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_returns_the_error_and_adds_a_span_event() {
    let sink = MemorySink::new();
    let flaky = Flaky::never_succeeds(LOST);
    let balance = Arc::new(Balance(1.into()));
    let service = ServiceBuilder::new()
        .timing(sink.clone())
        .retry(policy().max_attempts(9).budget(balance))
        .service(flaky.clone());
    assert_eq!(service.oneshot(request()).await, Err(LOST));
    assert_eq!(flaky.attempts(), [1, 2]);
    assert_eq!(
        span_events(&sink)[1],
        "attempt 2 failed: transport; not retried: the budget is spent"
    );
}

#[tokio::test(start_paused = true)]
async fn policies_share_the_budget_with_their_clones_and_with_each_other() {
    let balance = Arc::new(Balance::default());
    let one = policy().budget(Arc::clone(&balance));
    let other = policy().max_attempts(2).budget(Arc::clone(&balance));
    assert_eq!(Flaky::new(LOST, 2).call(one.clone()).await, Err(LOST));

    // Two successes pay for two retries of other calls.
    for _ in 0..2 {
        assert_eq!(Flaky::new(LOST, 1).call(one.clone()).await, Ok(1));
    }
    assert_eq!(Flaky::new(LOST, 9).call(other).await, Err(LOST));
    assert_eq!(balance.0.load(Relaxed), 1);
    assert_eq!(Flaky::new(LOST, 9).call(one).await, Err(LOST));
    assert_eq!(balance.0.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_not_retried_does_not_spend_the_budget() {
    let balance = Arc::new(Balance(5.into()));
    let policy = policy().budget(Arc::clone(&balance)).max_attempts(2);
    let hour = Some(Duration::from_secs(3600));
    for failure in [
        Failure(ErrorClass::InvalidRequest, None),
        Failure(ErrorClass::RateLimit, hour),
    ] {
        let result = Flaky::never_succeeds(failure).call(policy.clone()).await;
        assert_eq!(result, Err(failure));
    }
    assert_eq!(balance.0.load(Relaxed), 5);

    let result = Flaky::never_succeeds(LOST).call(policy).await;
    assert_eq!(result, Err(LOST));
    assert_eq!(
        balance.0.load(Relaxed),
        4,
        "no retry follows the last attempt"
    );
}

#[tokio::test(start_paused = true)]
async fn towers_budget_limits_the_retries_of_a_service_that_is_down() {
    let flaky = Flaky::never_succeeds(LOST);
    // Ten seconds with one retry a second, and no success that deposits more.
    let budget = Arc::new(TpsBudget::new(Duration::from_secs(10), 1, 0.1));
    let hasty = policy()
        .max_attempts(3)
        .backoff(Duration::ZERO, Duration::ZERO)
        .budget(budget);
    let service = flaky.retried(hasty);
    for _ in 0..50 {
        assert_eq!(service.clone().oneshot(request()).await, Err(LOST));
    }
    assert_eq!(flaky.attempts().len(), 50 + 10);
}
