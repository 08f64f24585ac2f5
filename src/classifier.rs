use std::{error::Error, io};

use tower::{load_shed::error::Overloaded, timeout::error::Elapsed};

use crate::{
    attachment::{AttachmentError, CleanupError},
    error::{BoxError, chain, foreign_class},
    error_class::Classify,
    event::{Classification, ErrorClass},
    tool::ToolError,
    turn::TurnError,
};

/// Knows the errors of the crate's services, of tower, of tokio and of the standard library.
///
/// It classifies each of them, and a [`BoxError`] that holds one of them anywhere in its chain of
/// sources; what it does not know is [`ErrorClass::Other`], with its text. For an error of your own
/// that wraps one of them, ask it from a closure:
///
/// ```
/// use codex_telemetry::{CodexClassifier, ErrorClass, ErrorClassLayer, turn::TurnError};
///
/// #[derive(Debug, thiserror::Error)]
/// enum AppError {
///     #[error("no budget left")]
///     NoBudget,
///     #[error("the agent failed")]
///     Agent(#[from] TurnError),
/// }
///
/// let layer = ErrorClassLayer::new(|error: &AppError| match error {
///     AppError::NoBudget => ErrorClass::Custom("no_budget").into(),
///     other => CodexClassifier.of(other),
/// });
/// # let _ = layer;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CodexClassifier;

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
        Classification::of(found.class, error).with_retry_after(found.retry_after)
    }
}

impl Classify<BoxError> for CodexClassifier {
    fn classify(&self, error: &BoxError) -> Classification {
        self.of(&**error)
    }
}

macro_rules! classify {
    ($($error:ty),+ $(,)?) => {$(
        impl Classify<$error> for CodexClassifier {
            fn classify(&self, error: &$error) -> Classification {
                self.of(error)
            }
        }
    )+};
}

// One by one, because an implementation for every error would leave no room for that of `BoxError`,
// which is none.
classify!(
    TurnError,
    ToolError,
    CleanupError,
    AttachmentError,
    io::Error,
    Elapsed,
    Overloaded,
    tokio::time::error::Elapsed,
    tokio::task::JoinError,
    std::convert::Infallible,
);

fn of_ours(error: &(dyn Error + 'static)) -> Option<Classification> {
    if let Some(error) = error.downcast_ref::<TurnError>() {
        Some(error.classification())
    } else if let Some(error) = error.downcast_ref::<ToolError>() {
        Some(error.classification())
    } else if let Some(error) = error.downcast_ref::<CleanupError>() {
        Some(error.classification())
    } else {
        let error = error.downcast_ref::<AttachmentError>();
        error.map(AttachmentError::classification)
    }
}

#[cfg(test)]
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
