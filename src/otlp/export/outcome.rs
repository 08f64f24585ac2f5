use std::{borrow::Cow, time::Duration};

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

use super::diagnostics::Diagnostics;

/// How many characters of a receiver's message are kept.
const MAX_MESSAGE: usize = 300;

/// The outcome of one export.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ExportOutcome {
    /// The receiver accepted the request, except for this many records.
    Accepted {
        rejected: u64,
        problem: Option<String>,
    },
    /// The export failed permanently.
    Rejected(Problem),
    /// The request is larger than the receiver or the configuration allows. Its halves may be accepted.
    TooLarge(Problem),
    /// The export failed, and a retry may succeed.
    Retryable {
        problem: Problem,
        retry_after: Option<Duration>,
    },
}

/// Why an export failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The destination, and what happened. Without secrets.
    pub(crate) text: String,
    /// The value of `error.type` on the metrics of the sink: a status, or a kind of error.
    pub(crate) error_type: Cow<'static, str>,
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self {
            text,
            error_type: "_OTHER".into(),
        }
    }
}

impl ExportOutcome {
    /// Returns the outcome for the result of an exporter and its diagnostics. `destination` goes before
    /// each problem.
    pub(crate) fn new(
        destination: &str,
        result: OTelSdkResult,
        mut diagnostics: Diagnostics,
    ) -> Self {
        let Err(error) = result else {
            return Self::accepted(destination, diagnostics);
        };
        let (problem, is_retryable) = match (diagnostics.http.take(), error) {
            // The protocol names these statuses and no others.
            (Some(Ok(status)), _) => (
                format!("the receiver responded with status {status}"),
                matches!(status, 429 | 502 | 503 | 504),
            ),
            (Some(Err(error)), _) => (error, true),
            (None, OTelSdkError::Timeout(after)) => (format!("no response within {after:?}"), true),
            (None, OTelSdkError::AlreadyShutdown) => {
                ("the exporter is shut down".to_owned(), false)
            }
            (None, OTelSdkError::InternalFailure(error)) => {
                let is_retryable = is_retryable_grpc(&error, diagnostics.retry_after.is_some());
                (error, is_retryable)
            }
        };
        let mut problem = format!("{destination}: {}", truncate(&problem));
        if let Some(message) = diagnostics.message {
            problem = format!("{problem}: {}", truncate(&message));
        }
        if !is_retryable {
            return Self::Rejected(problem.into());
        }
        Self::Retryable {
            problem: problem.into(),
            retry_after: diagnostics.retry_after,
        }
    }

    fn accepted(destination: &str, diagnostics: Diagnostics) -> Self {
        let rejected = diagnostics.rejected;
        let problem = if diagnostics.is_malformed && !diagnostics.is_decoded {
            let problem = "the receiver responded with status 200 and a body that is not OTLP; check \
                           that it is a collector";
            Some(problem.to_owned())
        } else if let Some(message) = diagnostics.message {
            Some(truncate(&message))
        } else {
            let problem = "the receiver rejected records without a message";
            (rejected > 0).then(|| problem.to_owned())
        };
        Self::Accepted {
            rejected,
            problem: problem.map(|problem| format!("{destination}: {problem}")),
        }
    }
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

    fn response(status: u16) -> Diagnostics {
        Diagnostics {
            http: Some(Ok(status)),
            message: Some("no".to_owned()),
            ..Diagnostics::default()
        }
    }

    fn is_retryable(result: OTelSdkResult, diagnostics: Diagnostics) -> bool {
        let outcome = ExportOutcome::new("e", result, diagnostics);
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
            assert_eq!(
                is_retryable(failure(&text), Diagnostics::default()),
                expected,
                "{code}"
            );
        }
    }

    #[test]
    fn a_problem_begins_with_the_destination() {
        let outcome = ExportOutcome::new("e", failure("x"), response(400));
        let problem = "e: the receiver responded with status 400: no".to_owned();
        assert_eq!(outcome, ExportOutcome::Rejected(problem.into()));
    }

    #[test]
    fn a_partial_success_that_the_http_client_decoded_is_not_malformed() {
        for (is_decoded, is_problem) in [(false, true), (true, false)] {
            let diagnostics = Diagnostics {
                http: Some(Ok(200)),
                is_malformed: true,
                is_decoded,
                ..Diagnostics::default()
            };
            let outcome = ExportOutcome::new("e", Ok(()), diagnostics);
            let ExportOutcome::Accepted {
                rejected: 0,
                problem,
            } = outcome
            else {
                panic!("{outcome:?}");
            };
            assert_eq!(problem.is_some(), is_problem, "{problem:?}");
        }
    }

    #[test]
    fn a_long_message_is_truncated() {
        let truncated = truncate(&"ä".repeat(1000));
        assert_eq!(truncated.chars().count(), MAX_MESSAGE + 1);
    }
}
