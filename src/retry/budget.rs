use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tower::retry::budget::Budget;

/// What one retry costs. The balance is in these parts, so that a percentage is a whole number.
const RETRY: u64 = 100;

/// A [`Budget`] of retries for calls that take seconds to minutes.
///
/// It holds a number of retries. Each retry takes one of them. Each success gives back a part of one, and
/// the passing of time gives back one at a time. So the load of a service that is down is bounded, and single
/// failures are retried, however many or few calls a program makes.
///
/// | setting | default |
/// |---|---|
/// | [`capacity`](Self::capacity) | 10 retries |
/// | [`success_percent`](Self::success_percent) | 20 |
/// | [`refill_interval`](Self::refill_interval) | 1 minute |
///
/// With the defaults, any number of calls have at most 10 retries, plus one for every minute and for every 5
/// successes.
///
/// ```
/// use codex_telemetry::RetryBudget;
/// use std::time::Duration;
/// use tower::retry::budget::Budget;
///
/// let budget = RetryBudget::new()
///     .capacity(2)
///     .success_percent(50)
///     .refill_interval(Duration::MAX);
/// assert!(budget.withdraw() && budget.withdraw());
/// assert!(!budget.withdraw(), "two retries are spent");
///
/// budget.deposit();
/// assert!(!budget.withdraw(), "one success is half a retry");
/// budget.deposit();
/// assert!(budget.withdraw());
/// ```
//
// Not tower's `TpsBudget`. It allows a number of retries per second, by default ten, whatever happens, and
// forgets a success after a minute at most: at the rate of turns it bounds nothing.
#[derive(Debug)]
pub struct RetryBudget {
    capacity: u64,
    per_success: u64,
    refill_interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    balance: u64,
    /// Time before this one has been added to the balance.
    refilled: Instant,
}

// === impl RetryBudget ===

impl RetryBudget {
    /// Returns the default budget, which is full.
    #[must_use]
    pub fn new() -> Self {
        Self {
            capacity: 10 * RETRY,
            per_success: 20,
            refill_interval: Duration::from_secs(60),
            state: Mutex::new(State {
                balance: 10 * RETRY,
                refilled: Instant::now(),
            }),
        }
    }

    /// Sets the most retries that the budget holds, and fills it. With 0 there is no retry.
    #[must_use]
    pub fn capacity(mut self, retries: u32) -> Self {
        self.capacity = u64::from(retries) * RETRY;
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.balance = self.capacity;
        self
    }

    /// Sets how many retries 100 successes give back.
    #[must_use]
    pub fn success_percent(mut self, percent: u32) -> Self {
        self.per_success = u64::from(percent);
        self
    }

    /// Sets the time that gives back one retry. [`Duration::MAX`] is never.
    #[must_use]
    pub fn refill_interval(mut self, interval: Duration) -> Self {
        self.refill_interval = interval;
        self
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // No foreign code runs under the lock, so a panic cannot leave the state half-written.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state)
    }

    fn add(&self, state: &mut State, amount: u64) {
        state.balance = state.balance.saturating_add(amount).min(self.capacity);
    }

    /// Adds the retries of the time that has passed.
    fn refill(&self, state: &mut State) {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(state.refilled).as_nanos();
        let interval = self.refill_interval.as_nanos().max(1);
        let (Ok(retries), Ok(rest)) = (
            u64::try_from(elapsed / interval),
            u64::try_from(elapsed % interval),
        ) else {
            return;
        };
        state.refilled = now - Duration::from_nanos(rest);
        self.add(state, retries.saturating_mul(RETRY));
    }
}

impl Budget for RetryBudget {
    fn deposit(&self) {
        self.change(|state| self.add(state, self.per_success));
    }

    fn withdraw(&self) -> bool {
        self.change(|state| {
            self.refill(state);
            let balance = state.balance.checked_sub(RETRY);
            state.balance = balance.unwrap_or(state.balance);
            balance.is_some()
        })
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new()
    }
}
