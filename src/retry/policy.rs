use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Sleep;
use tower::retry::{
    Policy,
    budget::{Budget, TpsBudget},
};

use crate::{
    call::CodexRequest, classifier::CodexClassifier, error_class::Classify, event::ErrorClass,
};

/// A [`Policy`] that makes a call again when the class of its error says that this may help.
///
/// It counts attempts on the request's [`CallContext`](crate::CallContext), so each attempt's events say
/// which one it is, and tells of each retry on the call that is open there. Clones share the budget.
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
/// When it is to wait outside of a tokio runtime with a timer.
///
/// # Cancel safety
///
/// A call that is dropped while it waits is not made again. Its budget is spent.
#[derive(Clone)]
pub struct RetryPolicy<C = CodexClassifier> {
    classifier: C,
    may_help: fn(ErrorClass) -> bool,
    attempts: u32,
    first_pause: Duration,
    longest_pause: Duration,
    max_retry_after: Duration,
    budget: Arc<dyn Budget + Send + Sync>,
}

// === impl RetryPolicy ===

impl RetryPolicy {
    /// Returns a policy of three attempts in all, the pauses between them a second at first and half a
    /// minute at most, that waits for a hint of up to a minute, by [`CodexClassifier`] and with tower's
    /// default budget.
    #[must_use]
    pub fn new() -> Self {
        Self {
            classifier: CodexClassifier,
            may_help: ErrorClass::is_retryable,
            attempts: 3,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(60),
            budget: Arc::new(TpsBudget::default()),
        }
    }
}

impl<C> RetryPolicy<C> {
    /// Sets who says why a call failed: a [`Classify`] of the inner service's error.
    #[must_use]
    pub fn classifier<D>(self, classifier: D) -> RetryPolicy<D> {
        RetryPolicy {
            classifier,
            may_help: self.may_help,
            attempts: self.attempts,
            first_pause: self.first_pause,
            longest_pause: self.longest_pause,
            max_retry_after: self.max_retry_after,
            budget: self.budget,
        }
    }

    /// Sets which classes a retry may help; those of [`ErrorClass::is_retryable`] by default.
    #[must_use]
    pub fn when(mut self, may_help: fn(ErrorClass) -> bool) -> Self {
        self.may_help = may_help;
        self
    }

    /// Sets how many attempts there are in all, the first one among them.
    ///
    /// A request that comes with a later [`attempt`](crate::CallContext::attempt) has had the ones before.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets the pauses where the failing side gave no hint: the first one, which then doubles, and the
    /// longest. Each is drawn anew, between half of its length and the whole.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.first_pause = first;
        self.longest_pause = longest;
        self
    }

    /// Sets the longest hint that is waited for. A call whose error names a longer time fails at once,
    /// with that error: its caller knows better what to do meanwhile.
    #[must_use]
    pub fn max_retry_after(mut self, longest: Duration) -> Self {
        self.max_retry_after = longest;
        self
    }

    /// Sets what the retries are paid from; a call that succeeds pays in.
    ///
    /// Policies that are given the same one share it.
    #[must_use]
    pub fn budget(mut self, budget: Arc<impl Budget + Send + Sync + 'static>) -> Self {
        self.budget = budget;
        self
    }

    /// The pause after the attempt of this number.
    fn pause(&self, attempt: u32) -> Duration {
        let doublings = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let whole = self.first_pause.saturating_mul(doublings);
        // Tower's own backoff copies its random numbers with the policy, so that calls which fail together
        // come back together, and draws none any more once it has grown to its longest.
        whole
            .min(self.longest_pause)
            .mul_f64(f64::midpoint(1.0, fastrand::f64()))
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
        let context = request.context_mut();
        let attempt = context.attempt();
        if attempt >= self.attempts {
            return None;
        }
        let why = self.classifier.classify(error);
        if !(self.may_help)(why.class) {
            return None;
        }

        let failed = format!("attempt {attempt} failed: {}", why.class);
        if let Some(hint) = why.retry_after
            && hint > self.max_retry_after
        {
            context.add_event(format!(
                "{failed}; not tried again, for it said to wait {hint:.1?}"
            ));
            return None;
        }
        if !self.budget.withdraw() {
            context.add_event(format!("{failed}; not tried again, the budget is spent"));
            return None;
        }
        let wait = why.retry_after.unwrap_or_else(|| self.pause(attempt));
        context.add_event(format!("{failed}; trying again in {wait:.1?}"));
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
        // A classifier is a closure as a rule, and a budget says nothing of itself.
        f.debug_struct("RetryPolicy")
            .field("attempts", &self.attempts)
            .field("first_pause", &self.first_pause)
            .field("longest_pause", &self.longest_pause)
            .field("max_retry_after", &self.max_retry_after)
            .finish_non_exhaustive()
    }
}
