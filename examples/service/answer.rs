//! Errors as HTTP answers.

use std::{error::Error, fmt::Display, time::Duration};

use axum::{
    Json,
    extract::rejection::{JsonRejection, PathRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use codex_telemetry::{BoxError, Classification, CodexClassifier, ErrorClass};
use serde_json::json;
use tower::load_shed::error::Overloaded;

/// What a caller is told of what went wrong on this machine.
const BROKEN: &str = "the service failed: tell the operator";

/// Why a request is not done, in words for its caller: no path, and nothing of other callers.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    pub(crate) class: ErrorClass,
    pub(crate) message: String,
    retry_after: Option<Duration>,
}

// === impl Failure ===

impl Failure {
    pub(crate) fn new(status: StatusCode, class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            status,
            class,
            message: message.into(),
            retry_after: None,
        }
    }

    /// What does not exist, or belongs to somebody else: the answer is the same.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            ErrorClass::InvalidRequest,
            format!("there is no such {what}"),
        )
    }

    /// The service ends before the turn has.
    pub(crate) fn interrupted() -> Self {
        Self::unavailable(
            ErrorClass::Interrupted,
            "the turn was interrupted: the service ends",
        )
    }

    /// The body of the request did not come in time.
    pub(crate) fn late() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            ErrorClass::Timeout,
            "the request took too long",
        )
    }

    pub(crate) fn draining() -> Self {
        Self::unavailable(
            ErrorClass::Overloaded,
            "the service ends: ask another instance",
        )
    }

    pub(crate) fn unavailable(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            retry_after: Some(Duration::from_secs(1)),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, class, message)
        }
    }

    /// Returns the failure of a layered service. Only its class and what an event may have of it is told: the whole text
    /// can have paths.
    pub(crate) fn of(error: &BoxError) -> Self {
        let Classification {
            class,
            message,
            retry_after,
            ..
        } = CodexClassifier.of(&**error);
        let status = status(class);
        let message = match class {
            _ if error.is::<Overloaded>() => "too many turns wait: try again later".to_owned(),
            // What went wrong on this machine is for the log.
            ErrorClass::Spawn | ErrorClass::Io | ErrorClass::Config | ErrorClass::Protocol => {
                tracing::error!(class = class.as_str(), "{}", with_sources(&**error));
                BROKEN.to_owned()
            }
            _ => message.unwrap_or_else(|| class.to_string()),
        };
        let retry_after = match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                Some(retry_after.unwrap_or(Duration::from_secs(1)))
            }
            _ => retry_after,
        };
        Self {
            status,
            class,
            message,
            retry_after,
        }
    }

    /// Logs what the caller does not get to know.
    pub(crate) fn internal(error: impl Display) -> Self {
        tracing::error!("{error}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorClass::Io, BROKEN)
    }

    pub(crate) fn classification(&self) -> Classification {
        Classification::from(self.class)
            .with_message(&self.message)
            .with_retry_after(self.retry_after)
    }
}

/// Returns the text of an error with those of its sources.
fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

fn status(class: ErrorClass) -> StatusCode {
    match class {
        ErrorClass::InvalidRequest | ErrorClass::ContextWindow => StatusCode::BAD_REQUEST,
        ErrorClass::RateLimit | ErrorClass::UsageLimit => StatusCode::TOO_MANY_REQUESTS,
        ErrorClass::Overloaded | ErrorClass::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
        ErrorClass::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorClass::PolicyDenied | ErrorClass::ApprovalDenied | ErrorClass::SandboxDenied => {
            StatusCode::FORBIDDEN
        }
        _ => StatusCode::BAD_GATEWAY,
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        let status = match rejection.status() {
            // It is JSON, but of another form.
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        Self::new(status, ErrorClass::InvalidRequest, rejection.body_text())
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Self {
        Self::new(
            rejection.status(),
            ErrorClass::InvalidRequest,
            rejection.body_text(),
        )
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let error = json!({"error": {"class": self.class.as_str(), "message": self.message}});
        let mut response = (self.status, Json(error)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(wait) = self.retry_after {
            // Whole seconds, and not too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
