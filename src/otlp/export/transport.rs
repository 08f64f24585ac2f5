//! Why a request has no response.

use std::{
    error::Error,
    io::{self, ErrorKind},
};

use super::outcome::{ExportOutcome, Problem, truncate};
use crate::event::error_text;

/// Parts of the errors of a receiver that speaks another protocol, in lower case. Their types are private
/// to the HTTP libraries.
const PROTOCOL_ERRORS: &[&str] = &[
    "invalid http version",
    "unexpected message from connection",
    "http2 error",
    "h2 protocol error",
    "frame with invalid size",
];

/// Returns the outcome of a request without a response. The error has no URL, which may contain a password.
pub(super) fn failure(error: &(dyn Error + 'static)) -> ExportOutcome {
    let text = truncate(&error_text(error));
    ExportOutcome::retryable(Problem::new(kind(error, &text), text))
}

/// Returns the value of `error.type`.
fn kind(error: &(dyn Error + 'static), text: &str) -> &'static str {
    let timed_out = |error: &(dyn Error + 'static)| {
        let error = error.downcast_ref::<reqwest::Error>();
        error.is_some_and(reqwest::Error::is_timeout)
    };
    let refused = |error: &(dyn Error + 'static)| {
        let error = error.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    let tls = |error: &(dyn Error + 'static)| error.is::<rustls::Error>();
    let text = text.to_ascii_lowercase();
    if has_cause(error, timed_out) {
        "timeout"
    } else if has_cause(error, tls) {
        "tls_error"
    } else if has_cause(error, refused) {
        "connection_refused"
    } else if text.contains("dns error") {
        "dns_error"
    } else if PROTOCOL_ERRORS.iter().any(|part| text.contains(part)) {
        "protocol_error"
    } else {
        "connection_error"
    }
}

/// Returns whether a condition holds for an error or for one of its causes.
fn has_cause(error: &(dyn Error + 'static), condition: fn(&(dyn Error + 'static)) -> bool) -> bool {
    // The source of an I/O error is that of the error that it wraps.
    let wrapped = error.downcast_ref::<io::Error>().and_then(|error| {
        let error: &(dyn Error + 'static) = error.get_ref()?;
        Some(error)
    });
    let cause = wrapped.or_else(|| error.source());
    condition(error) || cause.is_some_and(|cause| has_cause(cause, condition))
}
