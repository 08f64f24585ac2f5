//! Why a request has no response.

use std::{
    error::Error,
    io::{self, ErrorKind},
};

use super::outcome::{ExportOutcome, Problem};
use crate::event::error_text;

/// Parts of errors in lower case, with the value of `error.type`. Their types are private to the libraries,
/// or lost: HTTP/2 keeps only the text of an I/O error.
const TEXTS: &[(&str, &str)] = &[
    ("dns error", "dns_error"),
    ("received fatal alert", "tls_error"),
    ("invalid http version", "protocol_error"),
    ("unexpected message from connection", "protocol_error"),
    ("http2 error", "protocol_error"),
    ("h2 protocol error", "protocol_error"),
    ("frame with invalid size", "protocol_error"),
];

/// Returns the outcome of a request without a response. The error has no URL, which may contain a password.
pub(super) fn failure(error: &(dyn Error + 'static)) -> ExportOutcome {
    let text = error_text(error);
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
    if has_cause(error, timed_out) {
        return "timeout";
    } else if has_cause(error, tls) {
        return "tls_error";
    } else if has_cause(error, refused) {
        return "connection_refused";
    }
    let text = text.to_ascii_lowercase();
    let found = TEXTS.iter().find(|(part, _)| text.contains(part));
    found.map_or("connection_error", |(_, kind)| kind)
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
