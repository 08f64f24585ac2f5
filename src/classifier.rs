use std::{error::Error, fmt, io};

use tower::{
    buffer::error::{Closed, ServiceError},
    load_shed::error::Overloaded,
    timeout::error::Elapsed,
};

#[cfg(feature = "attachment")]
use crate::attachment::AttachmentError;
#[cfg(feature = "tool")]
use crate::tool::ToolError;
#[cfg(feature = "turn")]
use crate::turn::TurnError;
use crate::{
    error::{BoxError, chain, foreign_class},
    error_class::Classify,
    event::{Classification, ErrorClass},
};

/// Knows the errors of the crate's services, of tower, of tokio and of the standard library.
///
/// It classifies each of them, and a [`BoxError`] that holds one of them anywhere in its chain of
/// sources; what it does not know is [`ErrorClass::Other`], with its text. [`with`](Self::with) adds an
/// application's own errors. The classes are told in [`error_classes`](crate::error_classes).
///
/// ```
/// use codex_telemetry::{BoxError, Classify, CodexClassifier, ErrorClass};
/// use std::io::{Error, ErrorKind};
///
/// let error: BoxError = Error::from(ErrorKind::ConnectionReset).into();
/// assert_eq!(CodexClassifier.classify(&error).class, ErrorClass::Transport);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CodexClassifier;

/// A [`CodexClassifier`] that knows errors of an application's own as well;
/// [`CodexClassifier::with`] makes it.
#[derive(Clone, Copy)]
pub struct ExtendedClassifier<F> {
    known: F,
}

// === impl CodexClassifier ===

impl CodexClassifier {
    /// Returns what is known of any error: the outermost of the crate's own errors in its chain of
    /// sources gives the class, or else the outermost that is known otherwise; the whole chain gives
    /// the text.
    #[must_use]
    pub fn of(self, error: &(dyn Error + 'static)) -> Classification {
        let ours = || chain(error).filter_map(of_ours);
        let foreign = || chain(error).find_map(foreign_class);
        // That a tool failed says little when the chain goes on to say why: the tool may be an agent.
        let found = ours()
            .find(|told| told.class != ErrorClass::ToolFailed)
            .or_else(|| ours().next())
            .or_else(|| foreign().map(Classification::from))
            .unwrap_or_else(|| ErrorClass::Other.into());
        // A wrapper does not know how long to wait, what it wraps may.
        let wait = found
            .retry_after
            .or_else(|| ours().find_map(|told| told.retry_after));
        let classification = Classification::of(found.class, error).with_retry_after(wait);
        #[cfg(feature = "tool")]
        if let Some(message) = crate::tool::redacted_message(error) {
            return classification.with_message(message);
        }
        classification
    }

    /// Adds what `known` knows to what this classifier knows.
    ///
    /// `known` is asked of the error and of each of its sources, from the outside in; the first that it
    /// knows gives the class, and for `None` of all of them this classifier does. Text and hint when to
    /// retry are this classifier's, as far as `known` does not give its own.
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
    ///     // What it wraps says more.
    ///     AppError::Agent(_) => None,
    /// });
    ///
    /// let own: BoxError = AppError::NoBudget.into();
    /// assert_eq!(classifier.classify(&own).class, ErrorClass::Custom("no_budget"));
    /// let tower: BoxError = tower::timeout::error::Elapsed::new().into();
    /// assert_eq!(classifier.classify(&tower).class, ErrorClass::Timeout);
    ///
    /// // Around a service whose errors are boxed, as tower's layers make them:
    /// let layer = ErrorClassLayer::new(classifier);
    /// // Around one that fails with an error of one's own:
    /// let layer = ErrorClassLayer::new(move |error: &AppError| classifier.of(error));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn with<F, C>(self, known: F) -> ExtendedClassifier<F>
    where
        F: Fn(&(dyn Error + 'static)) -> Option<C>,
        C: Into<Classification>,
    {
        ExtendedClassifier { known }
    }
}

// === impl ExtendedClassifier ===

impl<F> ExtendedClassifier<F> {
    /// Returns what is known of any error; see [`CodexClassifier::with`].
    #[must_use]
    pub fn of<C>(&self, error: &(dyn Error + 'static)) -> Classification
    where
        F: Fn(&(dyn Error + 'static)) -> Option<C>,
        C: Into<Classification>,
    {
        let ours = CodexClassifier.of(error);
        let Some(told) = chain(error).find_map(&self.known) else {
            return ours;
        };
        let told: Classification = told.into();
        Classification {
            class: told.class,
            message: told.message.or(ours.message),
            retry_after: told.retry_after.or(ours.retry_after),
        }
    }
}

impl<F> fmt::Debug for ExtendedClassifier<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A closure has nothing to show.
        f.debug_struct("ExtendedClassifier").finish_non_exhaustive()
    }
}

// === impl Classify ===

macro_rules! classify {
    ($($error:ty => $erased:expr),+ $(,)?) => {$(
        impl Classify<$error> for CodexClassifier {
            fn classify(&self, error: &$error) -> Classification {
                let erase: fn(&$error) -> &(dyn Error + 'static) = $erased;
                self.of(erase(error))
            }
        }

        impl<F, C> Classify<$error> for ExtendedClassifier<F>
        where
            F: Fn(&(dyn Error + 'static)) -> Option<C>,
            C: Into<Classification>,
        {
            fn classify(&self, error: &$error) -> Classification {
                let erase: fn(&$error) -> &(dyn Error + 'static) = $erased;
                self.of(erase(error))
            }
        }
    )+};
    ($($error:ty),+ $(,)?) => { classify!($($error => |error| error),+); };
}

// One by one, because an implementation for every error would leave no room for that of `BoxError`,
// which is none.
#[cfg(feature = "attachment")]
classify!(AttachmentError);
#[cfg(feature = "tool")]
classify!(ToolError);
#[cfg(feature = "turn")]
classify!(TurnError);
classify!(
    io::Error,
    Elapsed,
    Overloaded,
    Closed,
    ServiceError,
    tokio::time::error::Elapsed,
    tokio::task::JoinError,
    std::convert::Infallible,
);
classify!(BoxError => |error| &**error);

/// Returns the classification of an error of the crate's own services.
fn of_ours(error: &(dyn Error + 'static)) -> Option<Classification> {
    #[cfg(feature = "turn")]
    if let Some(error) = error.downcast_ref::<TurnError>() {
        return Some(error.classification());
    }
    #[cfg(feature = "tool")]
    if let Some(error) = error.downcast_ref::<ToolError>() {
        return Some(error.classification());
    }
    #[cfg(feature = "attachment")]
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
        TurnError::Failed {
            message: "rate limit exceeded, try again in 2s".to_owned(),
        }
    }

    #[test]
    fn an_error_of_ours_is_found_wherever_it_is_wrapped() {
        let io = boxed(io::Error::other(failed()));
        for error in [boxed(failed()), io] {
            let told = CodexClassifier.classify(&error);
            assert_eq!(told.class, ErrorClass::RateLimit);
            assert_eq!(told.retry_after, Some(std::time::Duration::from_secs(2)));
        }
    }

    #[test]
    fn a_tool_that_failed_because_its_agent_did_has_the_class_of_that() {
        let failed = |source| ToolError::Failed {
            tool: "agent".into(),
            source,
        };
        let told = CodexClassifier.classify(&failed(boxed(self::failed())));
        assert_eq!(told.class, ErrorClass::RateLimit);
        let told = CodexClassifier.classify(&failed("no reason".into()));
        assert_eq!(told.class, ErrorClass::ToolFailed);
    }

    #[test]
    fn what_is_not_known_is_other_with_its_text() {
        let told = CodexClassifier.classify(&BoxError::from("the cat did it"));
        assert_eq!(told.class, ErrorClass::Other);
        assert_eq!(told.message.as_deref(), Some("the cat did it"));
    }

    #[test]
    fn an_io_error_with_a_text_keeps_the_class_of_its_kind() {
        let error = io::Error::new(io::ErrorKind::TimedOut, "no answer");
        assert_eq!(CodexClassifier.classify(&error).class, ErrorClass::Timeout);
    }

    #[test]
    fn an_io_error_is_told_by_its_kind() {
        for (kind, class) in [
            (io::ErrorKind::TimedOut, ErrorClass::Timeout),
            (io::ErrorKind::ConnectionRefused, ErrorClass::Transport),
            (io::ErrorKind::PermissionDenied, ErrorClass::Io),
        ] {
            assert_eq!(
                CodexClassifier.classify(&io::Error::from(kind)).class,
                class
            );
        }
    }
}
