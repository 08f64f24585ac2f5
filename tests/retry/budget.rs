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

/// A budget of a balance, which a success raises by one.
#[derive(Debug, Default)]
struct Purse(AtomicI32);

impl Budget for Purse {
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
async fn a_spent_budget_fails_with_the_error_that_there_is_and_says_so_on_the_call() {
    let sink = MemorySink::new();
    let flaky = Flaky::never_answers(LOST);
    let purse = Arc::new(Purse(1.into()));
    let service = ServiceBuilder::new()
        .timing(sink.clone())
        .retry(policy().max_attempts(9).budget(purse))
        .service(flaky.clone());
    assert_eq!(service.oneshot(request()).await, Err(LOST));
    assert_eq!(flaky.attempts(), [1, 2]);
    assert_eq!(
        moments(&sink)[1],
        "attempt 2 failed: transport; not tried again, the budget is spent"
    );
}

#[tokio::test(start_paused = true)]
async fn the_clones_of_a_policy_and_policies_of_one_purse_share_it() {
    let purse = Arc::new(Purse::default());
    let one = policy().budget(Arc::clone(&purse));
    let other = policy().max_attempts(2).budget(Arc::clone(&purse));
    assert_eq!(Flaky::new(LOST, 2).call(one.clone()).await, Err(LOST));

    // Two successes pay for the two retries of others.
    for _ in 0..2 {
        assert_eq!(Flaky::new(LOST, 1).call(one.clone()).await, Ok(1));
    }
    assert_eq!(Flaky::new(LOST, 9).call(other).await, Err(LOST));
    assert_eq!(purse.0.load(Relaxed), 1);
    assert_eq!(Flaky::new(LOST, 9).call(one).await, Err(LOST));
    assert_eq!(purse.0.load(Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_tried_again_costs_nothing() {
    let purse = Arc::new(Purse(5.into()));
    let policy = policy().budget(Arc::clone(&purse)).max_attempts(2);
    let hour = Some(Duration::from_secs(3600));
    for failure in [
        Failure(ErrorClass::InvalidRequest, None),
        Failure(ErrorClass::RateLimit, hour),
    ] {
        let result = Flaky::never_answers(failure).call(policy.clone()).await;
        assert_eq!(result, Err(failure));
    }
    assert_eq!(purse.0.load(Relaxed), 5);

    let result = Flaky::never_answers(LOST).call(policy).await;
    assert_eq!(result, Err(LOST));
    assert_eq!(
        purse.0.load(Relaxed),
        4,
        "the last attempt paid for no more"
    );
}

#[tokio::test(start_paused = true)]
async fn towers_budget_bounds_the_retries_of_a_service_that_is_down() {
    let flaky = Flaky::never_answers(LOST);
    // Ten seconds of one retry a second, and no success to pay for more.
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
