use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
    time::Duration,
};

use codex_telemetry::{ErrorClass, RetryBudget, ServiceBuilderExt};
use futures_util::{StreamExt, stream::FuturesUnordered};
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

/// Returns how many retries `budget` allows now, and takes them.
fn drain(budget: &RetryBudget) -> usize {
    std::iter::repeat_with(|| budget.withdraw())
        .take_while(|allowed| *allowed)
        .count()
}

#[tokio::test(start_paused = true)]
async fn a_retry_budget_never_holds_more_than_its_capacity() {
    for capacity in [0, 1, 3] {
        let budget = RetryBudget::new()
            .capacity(capacity)
            .success_percent(1000)
            .refill_interval(Duration::from_secs(1));
        let capacity = capacity as usize;
        assert_eq!(drain(&budget), capacity);
        budget.deposit();
        assert_eq!(drain(&budget), capacity.min(10));
        tokio::time::advance(Duration::from_secs(3600)).await;
        budget.deposit();
        assert_eq!(drain(&budget), capacity);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_budget_gives_back_one_retry_in_each_refill_interval() {
    let budget = RetryBudget::new().refill_interval(Duration::from_secs(10));
    drain(&budget);
    for (seconds, refilled) in [(9, 0), (1, 1), (25, 2), (4, 0), (1, 1), (3600, 10)] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        assert_eq!(drain(&budget), refilled, "after {seconds} more seconds");
    }

    let never = RetryBudget::new().refill_interval(Duration::MAX);
    let always = RetryBudget::new().refill_interval(Duration::ZERO);
    for budget in [&never, &always] {
        assert_eq!(drain(budget), 10);
    }
    tokio::time::advance(Duration::from_secs(1_000_000)).await;
    assert_eq!((drain(&never), drain(&always)), (0, 10));
}

/// Makes `calls` calls, four a second, of a service around which `policy` retries.
async fn call_at_the_rate_of_turns(calls: usize, flaky: &Flaky, policy: TestPolicy) {
    let service = flaky.retried(policy);
    let active = FuturesUnordered::new();
    for _ in 0..calls {
        active.push(tokio::spawn(service.clone().oneshot(request())));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    active.for_each(async |_| ()).await;
}

#[tokio::test(start_paused = true)]
async fn the_default_budget_allows_ten_retries_and_one_a_minute_of_a_service_that_is_down() {
    let flaky = Flaky::never_succeeds(LOST);
    // 300 calls in 75 seconds.
    call_at_the_rate_of_turns(300, &flaky, policy()).await;
    assert_eq!(flaky.attempts().len(), 300 + 10 + 1);
}

#[tokio::test(start_paused = true)]
async fn the_default_budget_allows_retries_of_a_fifth_of_the_successes() {
    // Every call fails at first, and its retry succeeds.
    let flaky = Flaky::new(LOST, 2);
    call_at_the_rate_of_turns(300, &flaky, policy()).await;
    // The first ten, one for every five of these successes, and one after a minute.
    assert_eq!(flaky.attempts().len(), 300 + 10 + 2 + 1);
}

#[tokio::test(start_paused = true)]
async fn with_the_default_budget_single_failures_are_retried() {
    let policy = policy();
    for _ in 0..100 {
        // One failure among ten calls.
        assert_eq!(Flaky::new(LOST, 2).call(policy.clone()).await, Ok(2));
        for _ in 0..9 {
            assert_eq!(Flaky::new(LOST, 1).call(policy.clone()).await, Ok(1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_budget_is_full_again_ten_minutes_after_an_outage() {
    let policy = policy()
        .max_attempts(100)
        .backoff(Duration::ZERO, Duration::ZERO);
    for _ in 0..3 {
        let flaky = Flaky::never_succeeds(LOST);
        assert_eq!(flaky.call(policy.clone()).await, Err(LOST));
        assert_eq!(flaky.attempts().len(), 1 + 10);
        tokio::time::advance(Duration::from_secs(600)).await;
    }
}
