//! What became of one export, and whether it may be tried again.

use std::time::Duration;

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

use super::ear::Heard;

/// How much of a receiver's words is kept.
const WORDS: usize = 300;

/// What became of one export.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// The receiver took it, except for some records of which it says why.
    Taken {
        rejected: u64,
        problem: Option<String>,
    },
    /// It was refused for good.
    Refused { problem: String },
    /// It did not get through, but may when it is tried again.
    TryAgain {
        problem: String,
        after: Option<Duration>,
    },
}

/// What came back over HTTP.
#[derive(Debug)]
pub(super) enum Exchange {
    Answer {
        status: u16,
        retry_after: Option<Duration>,
        partial: Option<Partial>,
        words: String,
    },
    /// Nothing came back.
    Lost { why: String },
}

/// A partial success that was told in JSON.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) rejected: u64,
    pub(super) words: String,
}

/// Judges an export by its result, by what came back if that is known, and by what the exporter said.
pub(super) fn judge(
    endpoint: &str,
    result: OTelSdkResult,
    exchange: Option<Exchange>,
    heard: Heard,
) -> Delivery {
    let problem = |text: String| format!("{endpoint}: {text}");
    let Err(error) = result else {
        return taken(exchange, heard, problem);
    };
    match exchange {
        Some(Exchange::Answer {
            status,
            retry_after,
            words,
            ..
        }) => {
            let problem = problem(match words.as_str() {
                "" => format!("it answered {status}"),
                words => format!("it answered {status}: {}", cut(words)),
            });
            // As the protocol says, and no others.
            if matches!(status, 429 | 502 | 503 | 504) {
                let after = retry_after;
                Delivery::TryAgain { problem, after }
            } else {
                Delivery::Refused { problem }
            }
        }
        Some(Exchange::Lost { why }) => Delivery::TryAgain {
            problem: problem(why),
            after: None,
        },
        None => without_exchange(error, heard, problem),
    }
}

fn taken(
    exchange: Option<Exchange>,
    mut heard: Heard,
    problem: impl Fn(String) -> String,
) -> Delivery {
    if let Some(Exchange::Answer {
        partial: Some(partial),
        ..
    }) = exchange
    {
        heard = Heard {
            rejected: partial.rejected,
            words: Some(partial.words).filter(|words| !words.is_empty()),
            ..Heard::default()
        };
    }
    let told = match heard.words {
        _ if heard.garbled => {
            Some("it answered 200 with something that is not OTLP; is it a collector?".to_owned())
        }
        Some(words) => Some(cut(&words)),
        None if heard.rejected > 0 => {
            Some("it refused some records and did not say why".to_owned())
        }
        None => None,
    };
    Delivery::Taken {
        rejected: heard.rejected,
        problem: told.map(problem),
    }
}

/// gRPC, or an exporter of the application's own.
fn without_exchange(
    error: OTelSdkError,
    heard: Heard,
    problem: impl Fn(String) -> String,
) -> Delivery {
    let (text, again) = match error {
        OTelSdkError::Timeout(after) => (format!("no answer within {after:?}"), true),
        OTelSdkError::AlreadyShutdown => ("the exporter is shut down".to_owned(), false),
        OTelSdkError::InternalFailure(text) => {
            // A connection that broke is `Unknown`, but is no answer: what follows the code here is our
            // side's, the receiver's words come apart.
            let lost = text.contains(": transport error");
            let again = grpc_code(&text).is_some_and(|code| {
                // Being exhausted passes only when the receiver says when.
                let asked = code == "ResourceExhausted" && heard.retry_after.is_some();
                lost || asked
                    || matches!(
                        code,
                        "Unavailable"
                            | "DeadlineExceeded"
                            | "Cancelled"
                            | "Aborted"
                            | "OutOfRange"
                            | "DataLoss"
                    )
            });
            (text, again)
        }
    };
    let problem = problem(match heard.words {
        Some(words) => cut(&format!("{text}: {words}")),
        None => cut(&text),
    });
    if again {
        let after = heard.retry_after;
        Delivery::TryAgain { problem, after }
    } else {
        Delivery::Refused { problem }
    }
}

/// The code in `… export failed with gRPC code: Unavailable…`.
fn grpc_code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("gRPC code: ")?;
    rest.split(|c: char| !c.is_ascii_alphabetic()).next()
}

fn cut(words: &str) -> String {
    let words = words.trim();
    match words.char_indices().nth(WORDS) {
        Some((at, _)) => format!("{}…", &words[..at]),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(text: &str) -> OTelSdkResult {
        Err(OTelSdkError::InternalFailure(text.to_owned()))
    }

    fn answer(status: u16) -> Option<Exchange> {
        Some(Exchange::Answer {
            status,
            retry_after: None,
            partial: None,
            words: "no".to_owned(),
        })
    }

    #[test]
    fn only_what_the_protocol_names_is_tried_again() {
        for status in 400..600 {
            let told = judge("e", failed("x"), answer(status), Heard::default());
            let again = matches!(told, Delivery::TryAgain { .. });
            assert_eq!(again, [429, 502, 503, 504].contains(&status), "{status}");
        }
        for (code, expected) in [
            ("Unavailable", true),
            ("Unauthenticated", false),
            ("Unknown: transport error: connection reset", true),
            ("Unknown", false),
        ] {
            let text = format!("TonicTracesClient export failed with gRPC code: {code}");
            let told = judge("e", failed(&text), None, Heard::default());
            assert_eq!(
                matches!(told, Delivery::TryAgain { .. }),
                expected,
                "{code}"
            );
        }
    }

    #[test]
    fn a_long_answer_is_cut() {
        assert_eq!(cut(&"ä".repeat(1000)).chars().count(), WORDS + 1);
    }
}
