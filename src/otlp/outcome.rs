use std::time::Duration;

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

use super::diagnostics::Diagnostics;

/// How many characters of a receiver's message are kept.
const MAX_MESSAGE: usize = 300;

/// The outcome of one export.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExportOutcome {
    /// The receiver accepted the request, except for this many records.
    Accepted {
        rejected: u64,
        problem: Option<String>,
    },
    /// The export failed permanently.
    Rejected { problem: String },
    /// The export failed, and a retry may succeed.
    Retryable {
        problem: String,
        retry_after: Option<Duration>,
    },
}

/// The result of one HTTP request.
#[derive(Debug)]
pub(super) enum HttpExchange {
    Response {
        status: u16,
        retry_after: Option<Duration>,
        partial_success: Option<PartialSuccess>,
        message: String,
    },
    NoResponse {
        error: String,
    },
}

/// A partial success in JSON.
#[derive(Debug)]
pub(super) struct PartialSuccess {
    pub(super) rejected: u64,
    pub(super) message: String,
}

impl ExportOutcome {
    /// Returns the outcome for the result of an exporter, for the HTTP exchange if there was one, and for
    /// what the exporter logged. `destination` goes before each problem.
    pub(super) fn new(
        destination: &str,
        result: OTelSdkResult,
        exchange: Option<HttpExchange>,
        diagnostics: Diagnostics,
    ) -> Self {
        let mut outcome = match (result, exchange) {
            (Ok(()), exchange) => accepted(exchange, diagnostics),
            (Err(_), Some(exchange)) => http_failure(exchange),
            (Err(error), None) => exporter_failure(error, diagnostics),
        };
        if let Self::Accepted {
            problem: Some(problem),
            ..
        }
        | Self::Rejected { problem }
        | Self::Retryable { problem, .. } = &mut outcome
        {
            *problem = format!("{destination}: {problem}");
        }
        outcome
    }

    fn failure(problem: String, is_retryable: bool, retry_after: Option<Duration>) -> Self {
        if is_retryable {
            Self::Retryable {
                problem,
                retry_after,
            }
        } else {
            Self::Rejected { problem }
        }
    }
}

fn accepted(exchange: Option<HttpExchange>, mut diagnostics: Diagnostics) -> ExportOutcome {
    if let Some(HttpExchange::Response {
        partial_success: Some(partial_success),
        ..
    }) = exchange
    {
        let PartialSuccess { rejected, message } = partial_success;
        diagnostics = Diagnostics {
            rejected,
            message: Some(message).filter(|message| !message.is_empty()),
            ..Diagnostics::default()
        };
    }
    let rejected = diagnostics.rejected;
    let problem = match diagnostics.message {
        _ if diagnostics.is_malformed => Some(
            "the receiver responded with status 200 and a body that is not OTLP; check that it is \
             a collector"
                .to_owned(),
        ),
        Some(message) => Some(truncate(&message)),
        None if rejected > 0 => Some("the receiver rejected records without a message".to_owned()),
        None => None,
    };
    ExportOutcome::Accepted { rejected, problem }
}

fn http_failure(exchange: HttpExchange) -> ExportOutcome {
    match exchange {
        HttpExchange::Response {
            status,
            retry_after,
            message,
            ..
        } => {
            let mut problem = format!("the receiver responded with status {status}");
            if !message.is_empty() {
                problem = format!("{problem}: {}", truncate(&message));
            }
            // The protocol names these and no others.
            let is_retryable = matches!(status, 429 | 502 | 503 | 504);
            ExportOutcome::failure(problem, is_retryable, retry_after)
        }
        HttpExchange::NoResponse { error } => ExportOutcome::failure(error, true, None),
    }
}

/// The failure of a gRPC exporter or of a custom exporter.
fn exporter_failure(error: OTelSdkError, diagnostics: Diagnostics) -> ExportOutcome {
    let (text, is_retryable) = match error {
        OTelSdkError::Timeout(after) => (format!("no response within {after:?}"), true),
        OTelSdkError::AlreadyShutdown => ("the exporter is shut down".to_owned(), false),
        OTelSdkError::InternalFailure(text) => {
            let is_retryable = is_retryable_grpc(&text, diagnostics.retry_after.is_some());
            (text, is_retryable)
        }
    };
    let problem = match diagnostics.message {
        Some(message) => truncate(&format!("{text}: {message}")),
        None => truncate(&text),
    };
    ExportOutcome::failure(problem, is_retryable, diagnostics.retry_after)
}

/// Returns whether an error like `… export failed with gRPC code: Unavailable…` is retryable.
fn is_retryable_grpc(error: &str, has_retry_after: bool) -> bool {
    let Some((_, code)) = error.split_once("gRPC code: ") else {
        return false;
    };
    match code.split(|c: char| !c.is_ascii_alphabetic()).next() {
        Some(
            "Unavailable" | "DeadlineExceeded" | "Cancelled" | "Aborted" | "OutOfRange"
            | "DataLoss",
        ) => true,
        // The protocol allows a retry only with a retry delay from the receiver.
        Some("ResourceExhausted") if has_retry_after => true,
        // A broken connection has the code `Unknown`. The text after the code is the client's: the
        // receiver's message is in the diagnostics.
        _ => error.contains(": transport error"),
    }
}

fn truncate(message: &str) -> String {
    let message = message.trim();
    match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(text: &str) -> OTelSdkResult {
        Err(OTelSdkError::InternalFailure(text.to_owned()))
    }

    fn response(status: u16) -> Option<HttpExchange> {
        Some(HttpExchange::Response {
            status,
            retry_after: None,
            partial_success: None,
            message: "no".to_owned(),
        })
    }

    fn is_retryable(result: OTelSdkResult, exchange: Option<HttpExchange>) -> bool {
        let outcome = ExportOutcome::new("e", result, exchange, Diagnostics::default());
        matches!(outcome, ExportOutcome::Retryable { .. })
    }

    #[test]
    fn only_the_statuses_and_codes_of_the_protocol_are_retryable() {
        for status in 400..600 {
            let expected = [429, 502, 503, 504].contains(&status);
            let found = is_retryable(failure("x"), response(status));
            assert_eq!(found, expected, "{status}");
        }
        for (code, expected) in [
            ("Unavailable", true),
            ("Unauthenticated", false),
            ("ResourceExhausted", false),
            ("Unknown: transport error: connection reset", true),
            ("Unknown", false),
        ] {
            let text = format!("TonicTracesClient export failed with gRPC code: {code}");
            assert_eq!(is_retryable(failure(&text), None), expected, "{code}");
        }
    }

    #[test]
    fn a_problem_begins_with_the_destination() {
        let outcome = ExportOutcome::new("e", failure("x"), response(400), Diagnostics::default());
        let problem = "e: the receiver responded with status 400: no".to_owned();
        assert_eq!(outcome, ExportOutcome::Rejected { problem });
    }

    #[test]
    fn a_long_message_is_truncated() {
        let truncated = truncate(&"ä".repeat(1000));
        assert_eq!(truncated.chars().count(), MAX_MESSAGE + 1);
    }
}
