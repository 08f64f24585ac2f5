use std::time::Duration;

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(30);
/// The longest delay that a receiver can ask for. A longer one would outlast most programs.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The delays between the attempts of an export.
pub(super) struct Backoff {
    delay: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { delay: FIRST_DELAY }
    }

    /// Waits before a retry, but not past the deadline.
    ///
    /// Each delay is twice as long as the one before, plus or minus 20 %. A receiver that asks for a delay
    /// gets it, plus up to 20 %, even past the deadline. So many programs do not retry at once. A flush
    /// request shortens a delay, but not what the receiver asked for.
    pub(super) async fn wait(
        &mut self,
        retry_after: Option<Duration>,
        deadline: Option<Instant>,
        flush_requested: &Notify,
    ) {
        let delay = self.delay;
        self.delay = (delay * 2).min(MAX_DELAY);
        // A receiver that asks for no delay gets the usual one, so that it is not overloaded.
        if let Some(retry_after) = retry_after.filter(|after| !after.is_zero()) {
            let jitter = 1.0 + 0.2 * fastrand::f64();
            sleep(retry_after.min(MAX_RETRY_AFTER).mul_f64(jitter)).await;
            return;
        }
        let retry_at = Instant::now() + delay.mul_f64(0.8 + 0.4 * fastrand::f64());
        let retry_at = deadline.map_or(retry_at, |deadline| retry_at.min(deadline));
        tokio::select! {
            () = sleep_until(retry_at) => {}
            () = flush_requested.notified() => {
                // Not at once: a receiver that is down would be called in a busy loop.
                sleep_until(retry_at.min(Instant::now() + FIRST_DELAY)).await;
                self.delay = FIRST_DELAY;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    /// Returns when each of many pipelines retries.
    async fn retries(retry_after: Option<Duration>) -> Vec<Duration> {
        let start = Instant::now();
        let retries = (0..50).map(|_| async move {
            Backoff::new().wait(retry_after, None, &Notify::new()).await;
            start.elapsed()
        });
        join_all(retries).await
    }

    #[tokio::test(start_paused = true)]
    async fn many_programs_do_not_retry_at_once_after_the_delay_of_a_receiver() {
        let minute = Duration::from_secs(60);
        let mut retries = retries(Some(minute)).await;
        retries.sort();
        assert!(
            retries[0] >= minute,
            "before the receiver's delay: {retries:?}"
        );
        assert!(retries[49] <= minute.mul_f64(1.21), "{retries:?}");
        assert!(
            retries[49] - retries[0] > Duration::from_secs(3),
            "{retries:?}"
        );
        retries.dedup();
        assert!(retries.len() > 40, "{retries:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_ends_at_the_deadline_unless_the_receiver_asked_for_it() {
        for (retry_after, waited) in [(None, 10), (Some(Duration::from_secs(1)), 1000)] {
            let start = Instant::now();
            let deadline = Some(start + Duration::from_millis(10));
            Backoff::new()
                .wait(retry_after, deadline, &Notify::new())
                .await;
            assert!(start.elapsed() >= Duration::from_millis(waited));
            assert!(
                start.elapsed()
                    <= Duration::from_millis(waited).mul_f64(1.2) + Duration::from_millis(2)
            );
        }
    }
}
