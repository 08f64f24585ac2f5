use std::{convert::Infallible, error::Error, fmt, io, sync::Arc};

use tower::{
    buffer::error::{Closed, ServiceError},
    load_shed::error::Overloaded,
    timeout::error::Elapsed,
};

#[cfg(all(feature = "attachment", unix))]
use crate::attachment::AttachmentError;
#[cfg(feature = "tool")]
use crate::tool::{ArgumentsError, ToolError};
#[cfg(all(feature = "turn", unix))]
use crate::turn::TurnError;
use crate::{
    error::{BoxError, chain, foreign_class},
    error_class::Classify,
    event::{Classification, ErrorClass},
};

/// Classifies the errors of the crate's services, of tower, of tokio and of the standard library.
///
/// It implements [`Classify`] for each of them, and for a [`BoxError`] that has one of them anywhere in its
/// chain of sources. An unknown error is [`ErrorClass::Other`]. [`with`](Self::with) adds the errors of an
/// application. [`error_classes`](crate::error_classes) describes the classes.
///
/// ```
/// use codex_telemetry::{BoxError, Classify, CodexClassifier, ErrorClass};
/// use std::io::{Error, ErrorKind};
///
/// let error: BoxError = Error::from(ErrorKind::ConnectionReset).into();
/// assert_eq!(CodexClassifier.classify(&error).class, ErrorClass::Transport);
/// // An error that is behind a reference, such as the source of another one.
/// let error = tower::timeout::error::Elapsed::new();
/// assert_eq!(CodexClassifier.of(&error).class, ErrorClass::Timeout);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CodexClassifier;

/// A [`CodexClassifier`] that also classifies errors of an application; see [`CodexClassifier::with`].
///
/// ```
/// use codex_telemetry::{CodexClassifier, ErrorClass, ExtendedClassifier};
/// use std::{io, num::ParseIntError};
///
/// /// The classifier of a program, for each of its stacks.
/// fn classifier() -> ExtendedClassifier {
///     CodexClassifier.with(|error| error.is::<ParseIntError>().then_some(ErrorClass::InvalidRequest))
/// }
///
/// let own = "seven".parse::<u32>().unwrap_err();
/// assert_eq!(classifier().of(&own).class, ErrorClass::InvalidRequest);
/// assert_eq!(classifier().of(&io::Error::from(io::ErrorKind::TimedOut)).class, ErrorClass::Timeout);
/// ```
#[derive(Clone)]
pub struct ExtendedClassifier {
    // Erased, because a closure over `dyn Error` as a type parameter does not compile in an `async` block that
    // is spawned; see `Classify`.
    known: Arc<Known>,
}

type Known = dyn Fn(&(dyn Error + 'static)) -> Option<Classification> + Send + Sync;

/// An error type that [`CodexClassifier`] classifies without a box around it.
///
/// A list, and not every `Error`: that would exclude an implementation for [`BoxError`], which is no `Error`.
pub(crate) trait KnownError: Error + Sized + 'static {}

#[cfg(all(feature = "attachment", unix))]
impl KnownError for AttachmentError {}
#[cfg(feature = "tool")]
impl KnownError for ToolError {}
#[cfg(all(feature = "turn", unix))]
impl KnownError for TurnError {}
impl KnownError for io::Error {}
impl KnownError for Elapsed {}
impl KnownError for Overloaded {}
impl KnownError for Closed {}
impl KnownError for ServiceError {}
impl KnownError for tokio::time::error::Elapsed {}
impl KnownError for tokio::task::JoinError {}
impl KnownError for Infallible {}

// === impl CodexClassifier ===

impl CodexClassifier {
    /// Returns the classification of any error.
    ///
    /// The class is that of the outermost error of this crate in the chain of sources, or else of the
    /// outermost one that is known. A `tool_failed` gives way to another error of this crate further in, such as that
    /// of a turn that the tool ran. The text is that of the whole chain, without what may be content of the
    /// user: the texts of others that a failed turn repeats, and the arguments that a tool rejects.
    #[must_use]
    pub fn of(self, error: &(dyn Error + 'static)) -> Classification {
        let own = || chain(error).filter_map(own_classification);
        let foreign = || chain(error).find_map(foreign_class);
        // `ToolFailed` says little if the chain goes on, for instance because the tool is an agent.
        let found = own()
            .find(|found| found.class != ErrorClass::ToolFailed)
            .or_else(|| own().next())
            .or_else(|| foreign().map(Classification::from))
            .unwrap_or_else(|| ErrorClass::Other.into());
        // The wrapped error may know when to retry, even if its wrapper does not.
        let retry_after = found
            .retry_after
            .or_else(|| own().find_map(|found| found.retry_after));
        let classification = Classification::of(found.class, error).with_retry_after(retry_after);
        #[cfg(feature = "tool")]
        if let Some(message) = crate::tool::redacted_message(error) {
            return classification.with_message(message);
        }
        #[cfg(all(feature = "turn", unix))]
        if let Some(message) = crate::turn::recorded_message(error) {
            return classification.with_message(message);
        }
        classification
    }

    /// Adds a classifier for the errors of an application, which comes before this one.
    ///
    /// `known` is called for the error and each of its sources, outermost first, until it returns `Some`. If it
    /// returns `None` for all of them, this classifier decides. The text and the retry-after are this
    /// classifier's where `known` gives none.
    ///
    /// ```
    /// use codex_telemetry::{
    ///     BoxError, Classify, CodexClassifier, ErrorClass, ErrorClassLayer, TurnError,
    /// };
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// enum AppError {
    ///     #[error("no budget left")]
    ///     NoBudget,
    ///     #[error("the agent failed")]
    ///     Agent(#[from] TurnError),
    /// }
    ///
    /// let classifier = CodexClassifier.with(|error| match error.downcast_ref()? {
    ///     AppError::NoBudget => Some(ErrorClass::Custom("no_budget")),
    ///     // Its source decides.
    ///     AppError::Agent(_) => None,
    /// });
    ///
    /// let own: BoxError = AppError::NoBudget.into();
    /// assert_eq!(classifier.classify(&own).class, ErrorClass::Custom("no_budget"));
    /// let tower: BoxError = tower::timeout::error::Elapsed::new().into();
    /// assert_eq!(classifier.classify(&tower).class, ErrorClass::Timeout);
    ///
    /// // Around a service whose errors are boxed:
    /// let layer = ErrorClassLayer::new(classifier.clone());
    /// // Around a service with errors of the application:
    /// let layer = ErrorClassLayer::new(move |error: &AppError| classifier.of(error));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn with<F, C>(self, known: F) -> ExtendedClassifier
    where
        F: Fn(&(dyn Error + 'static)) -> Option<C> + Send + Sync + 'static,
        C: Into<Classification>,
    {
        ExtendedClassifier {
            known: Arc::new(move |error| known(error).map(Into::into)),
        }
    }
}

// === impl ExtendedClassifier ===

impl ExtendedClassifier {
    /// Returns the classification of any error; see [`CodexClassifier::with`].
    #[must_use]
    pub fn of(&self, error: &(dyn Error + 'static)) -> Classification {
        let default = CodexClassifier.of(error);
        match chain(error).find_map(|error| (self.known)(error)) {
            None => default,
            Some(known) => Classification {
                class: known.class,
                message: known.message.or(default.message),
                retry_after: known.retry_after.or(default.retry_after),
            },
        }
    }
}

impl fmt::Debug for ExtendedClassifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtendedClassifier").finish_non_exhaustive()
    }
}

// === impl Classify ===

impl<E: KnownError> Classify<E> for CodexClassifier {
    fn classify(&self, error: &E) -> Classification {
        self.of(error)
    }
}

impl Classify<BoxError> for CodexClassifier {
    fn classify(&self, error: &BoxError) -> Classification {
        self.of(&**error)
    }
}

impl<E: KnownError> Classify<E> for ExtendedClassifier {
    fn classify(&self, error: &E) -> Classification {
        self.of(error)
    }
}

impl Classify<BoxError> for ExtendedClassifier {
    fn classify(&self, error: &BoxError) -> Classification {
        self.of(&**error)
    }
}

// === impl ToolError ===

#[cfg(feature = "tool")]
impl ToolError {
    /// Returns the [`class`](Self::class) of the error and the message to record, which is that of
    /// [`CodexClassifier`]: the texts of the error and its sources, without arguments and without the texts of
    /// others that a failed turn repeats.
    ///
    /// It is a [`Classify`] for this error.
    // Here, because the tool may have run a turn, and rooms of services do not know each other.
    #[must_use]
    pub fn classification(&self) -> Classification {
        Classification {
            class: self.class(),
            retry_after: None,
            ..CodexClassifier.of(self)
        }
    }
}

/// Returns the classification of an error of this crate, and `None` for any other error.
fn own_classification(error: &(dyn Error + 'static)) -> Option<Classification> {
    #[cfg(all(feature = "turn", unix))]
    if let Some(error) = error.downcast_ref::<TurnError>() {
        return Some(error.classification());
    }
    #[cfg(feature = "tool")]
    if let Some(error) = error.downcast_ref::<ToolError>() {
        return Some(error.class().into());
    }
    #[cfg(feature = "tool")]
    if error.is::<ArgumentsError>() {
        return Some(ErrorClass::InvalidArguments.into());
    }
    #[cfg(all(feature = "attachment", unix))]
    if let Some(error) = error.downcast_ref::<AttachmentError>() {
        return Some(error.classification());
    }
    let _ = error;
    None
}

#[cfg(all(test, feature = "services"))]
mod tests {
    use super::*;

    fn boxed(error: impl Error + Send + Sync + 'static) -> BoxError {
        Box::new(error)
    }

    fn failed() -> TurnError {
        TurnError::failed("rate limit exceeded, try again in 2s")
    }

    #[test]
    fn an_error_of_the_crate_is_found_in_any_wrapper() {
        let io = boxed(io::Error::other(failed()));
        for error in [boxed(failed()), io] {
            let found = CodexClassifier.classify(&error);
            assert_eq!(found.class, ErrorClass::RateLimit);
            assert_eq!(found.retry_after, Some(std::time::Duration::from_secs(2)));
        }
    }

    #[test]
    fn a_tool_that_failed_because_of_its_agent_has_the_agents_class() {
        let failed = |source| ToolError::Failed {
            tool: "agent".into(),
            source,
        };
        let found = CodexClassifier.classify(&failed(boxed(self::failed())));
        assert_eq!(found.class, ErrorClass::RateLimit);
        let found = CodexClassifier.classify(&failed("no reason".into()));
        assert_eq!(found.class, ErrorClass::ToolFailed);
    }

    #[test]
    fn an_unknown_error_is_other_with_its_text() {
        let found = CodexClassifier.classify(&BoxError::from("unheard of"));
        assert_eq!(found.class, ErrorClass::Other);
        assert_eq!(found.message.as_deref(), Some("unheard of"));
    }

    #[test]
    fn an_io_error_with_a_text_keeps_the_class_of_its_kind() {
        let error = io::Error::new(io::ErrorKind::TimedOut, "no answer");
        assert_eq!(CodexClassifier.classify(&error).class, ErrorClass::Timeout);
    }
}
