//! `CodexClassifier::with`: an application's own errors beside ours.

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

/// What the application knows of its own errors.
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
fn an_error_of_the_applications_has_its_class_wherever_it_is_wrapped() {
    let classifier = CodexClassifier.with(known);
    let wrapped: BoxError = io::Error::other(AppError::NoBudget).into();
    for error in [AppError::NoBudget.into(), wrapped] {
        let told = classifier.classify(&error);
        assert_eq!(told.class, ErrorClass::Custom("no_budget"));
        assert_eq!(told.message.as_deref(), Some("no budget left"));
    }
}

#[test]
fn text_and_hint_of_the_applications_count() {
    let told = CodexClassifier.with(known).of(&AppError::Closed);
    assert_eq!(told.class, ErrorClass::Overloaded);
    assert_eq!(told.message.as_deref(), Some("closed"));
    assert_eq!(told.retry_after, Some(OPENS_IN));
}

#[tokio::test]
async fn what_the_application_does_not_know_keeps_our_class_and_hint() {
    let classifier = CodexClassifier.with(known);
    let limited = failed("rate limit exceeded: try again in 2s").await;
    let told = classifier.of(&AppError::from(limited));
    assert_eq!(told.class, ErrorClass::RateLimit);
    assert_eq!(told.retry_after, Some(Duration::from_secs(2)));
    let reset = io::Error::from(io::ErrorKind::ConnectionReset);
    assert_eq!(classifier.classify(&reset).class, ErrorClass::Transport);
    let nobody_knows: BoxError = "the cat did it".into();
    assert_eq!(classifier.classify(&nobody_knows).class, ErrorClass::Other);
}

#[tokio::test]
async fn a_class_of_the_applications_keeps_the_hint_of_what_it_wraps() {
    let classifier = CodexClassifier.with(|error| {
        let agent = matches!(error.downcast_ref()?, AppError::Agent(_));
        agent.then_some(ErrorClass::Custom("agent"))
    });
    let limited = failed("rate limit exceeded: try again in 2s").await;
    let told = classifier.of(&AppError::from(limited));
    assert_eq!(told.class, ErrorClass::Custom("agent"));
    assert_eq!(told.retry_after, Some(Duration::from_secs(2)));
}
