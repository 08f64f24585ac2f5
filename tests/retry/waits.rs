use std::{collections::HashSet, time::Duration};

use codex_telemetry::{CallContext, ErrorClass};
use tower::ServiceExt;

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);
/// What tokio's timers round to.
const TICK: Duration = Duration::from_millis(1);

fn limited(hint: Duration) -> Failure {
    Failure(ErrorClass::RateLimit, Some(hint))
}

#[tokio::test(start_paused = true)]
async fn a_hint_is_waited_for_exactly_whether_it_is_longer_or_shorter_than_the_pause() {
    for millis in [0, 1, 1500, 59_000] {
        let hint = Duration::from_millis(millis);
        let flaky = Flaky::new(limited(hint), 3);
        let policy = policy().backoff(10 * SECOND, 10 * SECOND);
        assert_eq!(flaky.call(policy).await, Ok(3));
        assert_eq!(flaky.waits(), [hint, hint]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_is_longer_than_the_longest_fails_at_once() {
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
async fn pauses_double_up_to_the_longest_and_are_drawn_from_their_upper_half() {
    let mut waits = Vec::new();
    for _ in 0..100 {
        let flaky = Flaky::never_answers(LOST);
        let patient = policy().max_attempts(6).backoff(SECOND, 6 * SECOND);
        assert_eq!(flaky.call(patient).await, Err(LOST));
        waits.push(flaky.waits());
    }
    for (nth, whole) in [1, 2, 4, 6, 6].into_iter().enumerate() {
        let whole = whole * SECOND;
        let drawn: HashSet<_> = waits.iter().map(|waits| waits[nth]).collect();
        for wait in &drawn {
            assert!(*wait >= whole / 2, "{wait:?} of {whole:?}");
            assert!(*wait <= whole + TICK, "{wait:?} of {whole:?}");
        }
        // Drawn anew each time: of 100 out of at least 500, far fewer than half meet by chance.
        assert!(drawn.len() > 50, "{} different {whole:?}", drawn.len());
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_together_do_not_come_back_together() {
    let flaky = Flaky::new(LOST, 2);
    let service = flaky.retried(policy());
    let calls = (0..20).map(|_| service.clone().oneshot(request()));
    futures_util::future::join_all(calls).await;
    let waits = flaky.waits();
    // The first twenty came at once; of the other twenty, at least some are apart.
    let apart = waits[20..].iter().filter(|wait| **wait >= TICK).count();
    assert!(apart > 5, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn no_pause_is_too_long_or_too_late_to_count() {
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
