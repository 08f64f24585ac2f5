use std::{collections::HashSet, sync::Arc, time::Duration};

use codex_telemetry::{CallContext, ErrorClass};
use tower::ServiceExt;

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);
/// The resolution of tokio's timers.
const TICK: Duration = Duration::from_millis(1);

fn limited(retry_after: Duration) -> Failure {
    Failure(ErrorClass::RateLimit, Some(retry_after))
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_is_waited_for_in_full_and_a_part_of_the_backoff_on_top() {
    for millis in [0, 1, 1500, 59_000] {
        let retry_after = Duration::from_millis(millis);
        let mut different = HashSet::new();
        for _ in 0..100 {
            let flaky = Flaky::new(limited(retry_after), 3);
            assert_eq!(
                flaky.call(policy().backoff(SECOND, 30 * SECOND)).await,
                Ok(3)
            );
            let waits = flaky.waits();
            for (wait, backoff) in waits.iter().zip([SECOND, 2 * SECOND]) {
                assert!(*wait >= retry_after, "{wait:?} of {retry_after:?}");
                assert!(
                    *wait <= retry_after + backoff + TICK,
                    "{wait:?} of {retry_after:?}"
                );
            }
            different.insert(waits[0]);
        }
        // Random each time: of 100 out of 1000 values, far fewer than half are equal by chance.
        assert!(different.len() > 50, "{} different", different.len());
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_backoff_a_retry_after_is_waited_for_exactly() {
    let flaky = Flaky::new(limited(SECOND), 3);
    let exact = policy().backoff(Duration::ZERO, Duration::ZERO);
    assert_eq!(flaky.call(exact).await, Ok(3));
    assert_eq!(flaky.waits(), [SECOND; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_longer_than_the_maximum_fails_at_once() {
    let policy = policy().max_retry_after(5 * SECOND);
    let exactly = Flaky::new(limited(5 * SECOND), 2);
    assert_eq!(exactly.call(policy.clone()).await, Ok(2));

    let longer = limited(5 * SECOND + TICK);
    let flaky = Flaky::new(longer, 2);
    let started = tokio::time::Instant::now();
    assert_eq!(flaky.call(policy).await, Err(longer));
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(flaky.attempts(), [1]);
}

#[tokio::test(start_paused = true)]
async fn the_backoff_doubles_up_to_its_maximum_and_is_jittered() {
    let mut waits = Vec::new();
    for _ in 0..100 {
        let flaky = Flaky::never_succeeds(LOST);
        let patient = policy().max_attempts(6).backoff(SECOND, 6 * SECOND);
        assert_eq!(flaky.call(patient).await, Err(LOST));
        waits.push(flaky.waits());
    }
    for (nth, whole) in [1, 2, 4, 6, 6].into_iter().enumerate() {
        let whole = whole * SECOND;
        let different: HashSet<_> = waits.iter().map(|waits| waits[nth]).collect();
        for wait in &different {
            assert!(*wait >= whole / 2, "{wait:?} of {whole:?}");
            assert!(*wait <= whole + TICK, "{wait:?} of {whole:?}");
        }
        // Random each time: of 100 out of at least 500 values, far fewer than half are equal by chance.
        assert!(
            different.len() > 50,
            "{} different {whole:?}",
            different.len()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_is_three_attempts_and_a_backoff_of_one_to_thirty_seconds() {
    let flaky = Flaky::never_succeeds(LOST);
    assert_eq!(flaky.call(policy()).await, Err(LOST));
    assert_eq!(flaky.attempts(), [1, 2, 3]);

    let flaky = Flaky::never_succeeds(LOST);
    assert_eq!(flaky.call(policy().max_attempts(8)).await, Err(LOST));
    for (wait, backoff) in flaky.waits().iter().zip([1, 2, 4, 8, 16, 30, 30]) {
        let backoff = backoff * SECOND;
        assert!(*wait >= backoff / 2, "{wait:?} of {backoff:?}");
        assert!(*wait <= backoff + TICK, "{wait:?} of {backoff:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_together_are_not_retried_together() {
    for failure in [LOST, limited(2 * SECOND)] {
        let flaky = Flaky::new(failure, 2);
        let service = flaky.retried(policy().budget(Arc::new(unlimited())));
        let calls = (0..20).map(|_| service.clone().oneshot(request()));
        futures_util::future::join_all(calls).await;
        let waits = flaky.waits();
        // The first twenty attempts come at once. At least some of the other twenty do not.
        let apart = waits[20..].iter().filter(|wait| **wait >= TICK).count();
        assert!(apart > 5, "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_backoff_does_not_overflow() {
    let longest = 3 * SECOND;
    for (first, attempt) in [(Duration::MAX, 1), (Duration::MAX, 40), (SECOND, 4_000_000)] {
        let flaky = Flaky::new(LOST, attempt + 1);
        let service = flaky.retried(policy().max_attempts(u32::MAX).backoff(first, longest));
        let context = CallContext::new().with_attempt(attempt);
        let result = service.oneshot(request().with_context(context)).await;
        assert_eq!(result, Ok(attempt + 1));
        assert!(flaky.waits()[0] <= longest + TICK);
    }
    let flaky = Flaky::new(LOST, 2);
    let hasty = policy().backoff(Duration::ZERO, Duration::ZERO);
    assert_eq!(flaky.call(hasty).await, Ok(2));
    assert_eq!(flaky.waits(), [Duration::ZERO]);
}
