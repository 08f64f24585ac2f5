use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Sleep;
use tower::retry::{Policy, budget::Budget};

use super::RetryBudget;
use crate::{
    call::CodexRequest,
    classifier::CodexClassifier,
    error_class::Classify,
    event::{Classification, ErrorClass, Operation},
};

/// A [`Policy`] that retries a call if the class of its error is retryable.
///
/// | class of the error | a [turn](Operation::Turn) | any other operation |
/// |---|---|---|
/// | `rate_limit`, `overloaded` | retried | retried |
/// | `transport`, `timeout`, `server_error` | only by [`retry_if`](Self::retry_if) | retried |
/// | any other | only by `retry_if` | only by `retry_if` |
///
/// A turn has side effects, and after an error of the second row nobody knows which: see
/// [what a retry repeats](super#what-a-retry-repeats).
///
/// It counts the attempts in the request's [`CallContext`](crate::CallContext), so the events of each attempt
/// have its number. It adds a span event to the open call for each retry, and for each retry that would have
/// helped but was not made. Clones share the budget.
///
/// ```
/// use codex_telemetry::{
///     BoxError, Call, CodexClassifier, ErrorClass, MemorySink, Operation, Outcome, RetryPolicy,
///     ServiceBuilderExt,
/// };
/// use std::{io::ErrorKind::ConnectionReset, time::Duration};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let sink = MemorySink::new();
/// let service = ServiceBuilder::new()
///     .timing(sink.clone())
///     .retry(RetryPolicy::new().backoff(Duration::from_millis(1), Duration::from_secs(1)))
///     .timing(sink.clone())
///     .error_class(CodexClassifier)
///     .service_fn(|call: Call<()>| async move {
///         match call.context.attempt() {
///             1 => Err(BoxError::from(std::io::Error::from(ConnectionReset))),
///             attempt => Ok(attempt),
///         }
///     });
///
/// let operation = Operation::Custom("sync");
/// assert_eq!(service.oneshot(Call::new(operation, ())).await?, 2);
///
/// let failed = &sink.find(operation, Outcome::Error)[0];
/// assert_eq!(failed.attempt(), 1);
/// assert_eq!(failed.error_class(), Some(ErrorClass::Transport));
/// let whole = &sink.find(operation, Outcome::Ok)[1];
/// assert!(whole.span_events()[0].name.starts_with("attempt 1 failed: transport"));
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// When it waits outside of a tokio runtime with a timer.
///
/// # Cancel safety
///
/// A call that is dropped while it waits is not retried. The budget for the retry is spent.
#[derive(Clone)]
pub struct RetryPolicy<C = CodexClassifier> {
    classifier: C,
    retry_if: fn(Operation, ErrorClass) -> bool,
    max_attempts: u32,
    initial_backoff: Duration,
    max_backoff: Duration,
    max_retry_after: Duration,
    budget: Arc<dyn Budget + Send + Sync>,
}

// === impl RetryPolicy ===

impl RetryPolicy {
    /// Returns the default policy, which classifies with [`CodexClassifier`].
    ///
    /// | setting | default |
    /// |---|---|
    /// | [`max_attempts`](Self::max_attempts) | 3 |
    /// | [`retry_if`](Self::retry_if) | the table [above](Self) |
    /// | [`backoff`](Self::backoff) | 1 second at first, 30 seconds at most |
    /// | [`max_retry_after`](Self::max_retry_after) | 60 seconds |
    /// | [`budget`](Self::budget) | a [`RetryBudget`] of its own, with its defaults |
    ///
    /// A policy of a program's own errors, with less patience than the default:
    ///
    /// ```
    /// use codex_telemetry::{Call, Classification, ErrorClass, Operation, RetryBudget, RetryPolicy};
    /// use std::{sync::Arc, time::Duration};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// #[derive(Debug, PartialEq)]
    /// struct Busy { retry_after: Duration, attempt: u32 }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let budget = Arc::new(RetryBudget::new());
    /// let policy = RetryPolicy::new()
    ///     .classifier(|busy: &Busy| {
    ///         Classification::from(ErrorClass::Overloaded).with_retry_after(Some(busy.retry_after))
    ///     })
    ///     .max_attempts(2)
    ///     .max_retry_after(Duration::from_secs(1))
    ///     .backoff(Duration::ZERO, Duration::ZERO)
    ///     .budget(Arc::clone(&budget));
    /// let service = ServiceBuilder::new().retry(policy).service(service_fn(
    ///     |call: Call<Duration>| async move {
    ///         Err::<(), _>(Busy { retry_after: call.request, attempt: call.context.attempt() })
    ///     },
    /// ));
    ///
    /// let attempts = async |retry_after| {
    ///     let call = Call::new(Operation::Custom("buy"), retry_after);
    ///     service.clone().oneshot(call).await.map_err(|busy| busy.attempt)
    /// };
    /// assert_eq!(attempts(Duration::from_millis(1)).await, Err(2));
    /// assert_eq!(attempts(Duration::from_secs(60)).await, Err(1));
    /// # }
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self {
            classifier: CodexClassifier,
            retry_if: is_retried_by_default,
            max_attempts: 3,
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(60),
            budget: Arc::new(RetryBudget::new()),
        }
    }
}

impl<C> RetryPolicy<C> {
    /// Sets the classifier, a [`Classify`] of the inner service's error.
    #[must_use]
    pub fn classifier<D>(self, classifier: D) -> RetryPolicy<D> {
        RetryPolicy {
            classifier,
            retry_if: self.retry_if,
            max_attempts: self.max_attempts,
            initial_backoff: self.initial_backoff,
            max_backoff: self.max_backoff,
            max_retry_after: self.max_retry_after,
            budget: self.budget,
        }
    }

    /// Sets which errors are retried, by the operation of the request and the class of its error.
    ///
    /// The predicate replaces the table [above](Self). A program whose turns may be done twice, such as one
    /// whose turns only read, opts in to retries of lost turns as well:
    ///
    /// ```
    /// use codex_telemetry::{BoxError, Call, Operation, RetryPolicy};
    /// use std::{io, time::Duration};
    /// use tower::{ServiceBuilder, ServiceExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// let policy = RetryPolicy::new()
    ///     .retry_if(|_operation, class| class.is_retryable())
    ///     .backoff(Duration::from_millis(1), Duration::from_millis(1));
    /// let turns = ServiceBuilder::new().retry(policy).service_fn(|call: Call<()>| async move {
    ///     match call.context.attempt() {
    ///         1 => Err(BoxError::from(io::Error::from(io::ErrorKind::ConnectionReset))),
    ///         attempt => Ok(attempt),
    ///     }
    /// });
    /// assert_eq!(turns.oneshot(Call::new(Operation::Turn, ())).await?, 2);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn retry_if(mut self, predicate: fn(Operation, ErrorClass) -> bool) -> Self {
        self.retry_if = predicate;
        self
    }

    /// Sets the most attempts that a request has, the first one included.
    ///
    /// A request that comes with a later [`attempt`](crate::CallContext::attempt) has used up those before.
    #[must_use]
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// Sets the backoff, which starts with `initial` and doubles with each attempt up to `max`.
    ///
    /// The waits are random, so that calls that failed together do not return together:
    ///
    /// | the error | the policy waits |
    /// |---|---|
    /// | does not say when to retry | between half of the backoff and all of it |
    /// | has a retry-after | as long as it says, and up to the backoff on top |
    #[must_use]
    pub fn backoff(mut self, initial: Duration, max: Duration) -> Self {
        self.initial_backoff = initial;
        self.max_backoff = max;
        self
    }

    /// Sets the longest retry-after that the policy waits for. If the error asks for more, the call fails at
    /// once with that error, and the caller can decide what to do meanwhile.
    ///
    /// The backoff on top does not count.
    #[must_use]
    pub fn max_retry_after(mut self, max: Duration) -> Self {
        self.max_retry_after = max;
        self
    }

    /// Sets the budget: each retry withdraws from it, each success deposits.
    ///
    /// Policies can share one budget. Tower's `TpsBudget` suits calls that take milliseconds: by default it
    /// allows ten retries a second.
    #[must_use]
    pub fn budget(mut self, budget: Arc<impl Budget + Send + Sync + 'static>) -> Self {
        self.budget = budget;
        self
    }

    /// Returns how long to wait after an attempt.
    fn wait_after(&self, attempt: u32, retry_after: Option<Duration>) -> Duration {
        let doublings = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let backoff = self.initial_backoff.saturating_mul(doublings);
        let backoff = backoff.min(self.max_backoff);
        // Not tower's `ExponentialBackoff`. Clones of it have the same random numbers, so calls that fail
        // together would retry together, and at its maximum it has no jitter at all.
        match retry_after {
            // Never shorter: the failing side knows best.
            Some(wait) => wait.saturating_add(backoff.mul_f64(fastrand::f64())),
            None => backoff / 2 + (backoff / 2).mul_f64(fastrand::f64()),
        }
    }
}

/// Returns whether an error is retried unless [`RetryPolicy::retry_if`] says otherwise.
fn is_retried_by_default(operation: Operation, class: ErrorClass) -> bool {
    match operation {
        // A refusal. After other errors, the turn may have gone any part of its way.
        Operation::Turn => matches!(class, ErrorClass::RateLimit | ErrorClass::Overloaded),
        _ => class.is_retryable(),
    }
}

impl<R, T, E, C> Policy<R, T, E> for RetryPolicy<C>
where
    R: CodexRequest + Clone,
    C: Classify<E>,
{
    type Future = Sleep;

    fn retry(&mut self, request: &mut R, result: &mut Result<T, E>) -> Option<Sleep> {
        let Err(error) = result else {
            self.budget.deposit();
            return None;
        };
        let operation = request.operation();
        let context = request.context_mut();
        let attempt = context.attempt();
        if attempt >= self.max_attempts {
            return None;
        }
        let Classification {
            class, retry_after, ..
        } = self.classifier.classify(error);
        let is_retried = (self.retry_if)(operation, class);
        if !is_retried && !class.is_retryable() {
            return None;
        }

        let failed = format!("attempt {attempt} failed: {class}");
        if !is_retried {
            context.add_event(format!(
                "{failed}; not retried: the policy excludes it for {operation}"
            ));
            return None;
        }
        if let Some(wait) = retry_after
            && wait > self.max_retry_after
        {
            let max = self.max_retry_after;
            context.add_event(format!(
                "{failed}; not retried: retry-after {wait:.1?} is longer than {max:.1?}"
            ));
            return None;
        }
        if !self.budget.withdraw() {
            context.add_event(format!("{failed}; not retried: the budget is spent"));
            return None;
        }
        let wait = self.wait_after(attempt, retry_after);
        context.add_event(format!("{failed}; retrying in {wait:.1?}"));
        #[cfg(all(feature = "turn", unix))]
        if let Some(record) = context.open_record() {
            record.pause_for_retry();
        }
        *context = context.clone().with_attempt(attempt + 1);
        Some(tokio::time::sleep(wait))
    }

    fn clone_request(&mut self, request: &R) -> Option<R> {
        Some(request.clone())
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> fmt::Debug for RetryPolicy<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the classifier and the budget, which need not be `Debug`.
        f.debug_struct("RetryPolicy")
            .field("max_attempts", &self.max_attempts)
            .field("initial_backoff", &self.initial_backoff)
            .field("max_backoff", &self.max_backoff)
            .field("max_retry_after", &self.max_retry_after)
            .finish_non_exhaustive()
    }
}
