//! `CodexClassifier::with`: errors of an application beside those of the crate.

use std::{io, time::Duration};

use codex_telemetry::{BoxError, Classification, Classify, CodexClassifier, ErrorClass, TurnError};

use crate::support::failed;

#[derive(Debug, thiserror::Error)]
enum AppError {
    #[error("no budget left")]
    NoBudget,
    #[error("the shop is closed")]
    Closed,
    #[error("the agent failed")]
    Agent(#[from] TurnError),
}

const OPENS_IN: Duration = Duration::from_secs(3600);

/// Classifies the errors of the application.
fn known(error: &(dyn std::error::Error + 'static)) -> Option<Classification> {
    match error.downcast_ref()? {
        AppError::NoBudget => Some(ErrorClass::Custom("no_budget").into()),
        AppError::Closed => {
            let closed = Classification::from(ErrorClass::Overloaded);
            Some(
                closed
                    .with_message("closed")
                    .with_retry_after(Some(OPENS_IN)),
            )
        }
        AppError::Agent(_) => None,
    }
}

#[test]
fn an_error_of_the_application_has_its_class_in_any_wrapper() {
    let classifier = CodexClassifier.with(known);
    let wrapped: BoxError = io::Error::other(AppError::NoBudget).into();
    for error in [AppError::NoBudget.into(), wrapped] {
        let found = classifier.classify(&error);
        assert_eq!(found.class, ErrorClass::Custom("no_budget"));
        assert_eq!(found.message.as_deref(), Some("no budget left"));
    }
}

#[test]
fn the_message_and_the_retry_after_of_the_application_count() {
    let found = CodexClassifier.with(known).of(&AppError::Closed);
    assert_eq!(found.class, ErrorClass::Overloaded);
    assert_eq!(found.message.as_deref(), Some("closed"));
    assert_eq!(found.retry_after, Some(OPENS_IN));
}

#[tokio::test]
async fn an_error_unknown_to_the_application_keeps_its_class_and_retry_after() {
    let classifier = CodexClassifier.with(known);
    let limited = failed("rate limit exceeded: try again in 2s").await;
    let found = classifier.of(&AppError::from(limited));
    assert_eq!(found.class, ErrorClass::RateLimit);
    assert_eq!(found.retry_after, Some(Duration::from_secs(2)));
    let reset = io::Error::from(io::ErrorKind::ConnectionReset);
    assert_eq!(classifier.classify(&reset).class, ErrorClass::Transport);
    let unknown: BoxError = "unheard of".into();
    assert_eq!(classifier.classify(&unknown).class, ErrorClass::Other);
}

#[tokio::test]
async fn a_class_of_the_application_keeps_the_retry_after_of_the_source() {
    let classifier = CodexClassifier.with(|error| {
        let agent = matches!(error.downcast_ref()?, AppError::Agent(_));
        agent.then_some(ErrorClass::Custom("agent"))
    });
    let limited = failed("rate limit exceeded: try again in 2s").await;
    let found = classifier.of(&AppError::from(limited));
    assert_eq!(found.class, ErrorClass::Custom("agent"));
    assert_eq!(found.retry_after, Some(Duration::from_secs(2)));
}
