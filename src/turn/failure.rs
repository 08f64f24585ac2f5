//! What class a failure has, by what Codex says of it.
//!
//! Codex puts no error code on its lines, only text for people, which differs by version (its
//! apostrophes, for one). So what is looked for survives versions: HTTP status numbers and short
//! ASCII fragments. What is not recognised is `other`, with its text, rather than a guess.

use std::{process::ExitStatus, time::Duration};

use crate::event::ErrorClass;

type Verdict = (ErrorClass, Option<Duration>);

/// Fragments, in lower case, of which the first that is found decides: the more telling stand first.
const FRAGMENTS: &[(&str, ErrorClass)] = &[
    ("context window", ErrorClass::ContextWindow),
    ("context_length_exceeded", ErrorClass::ContextWindow),
    ("hit your usage limit", ErrorClass::UsageLimit),
    ("quota exceeded", ErrorClass::UsageLimit),
    (
        "to use codex with your chatgpt plan",
        ErrorClass::UsageLimit,
    ),
    ("rate limit", ErrorClass::RateLimit),
    ("experiencing high demand", ErrorClass::ServerError),
    ("at capacity", ErrorClass::Overloaded),
    ("missing environment variable", ErrorClass::Unauthorized),
    ("invalid prompt", ErrorClass::InvalidRequest),
    ("incomplete response", ErrorClass::Incomplete),
    ("stream disconnected", ErrorClass::Transport),
    ("error sending request", ErrorClass::Transport),
    ("connection failed", ErrorClass::Transport),
];

/// Fragments of what a process that ends without a turn says on standard error.
const STARTUP_FRAGMENTS: &[(&str, ErrorClass)] = &[
    ("exceeds the maximum length", ErrorClass::InvalidRequest),
    ("no prompt provided", ErrorClass::InvalidRequest),
    ("no rollout found", ErrorClass::InvalidRequest),
    ("already has an active writer", ErrorClass::InvalidRequest),
    ("not inside a trusted directory", ErrorClass::Config),
    ("error loading config", ErrorClass::Config),
    ("error finding codex home", ErrorClass::Config),
    ("mcp servers failed", ErrorClass::Config),
    ("model provider", ErrorClass::Config),
];

/// The class of a turn that Codex says has failed.
pub(super) fn of_message(message: &str) -> Verdict {
    let text = message.to_ascii_lowercase();
    let class = http_status(&text)
        .and_then(of_status)
        .or_else(|| find(&text, FRAGMENTS))
        // The provider's answer to a bad request is passed on as it came, a bare JSON object.
        .or_else(|| text.starts_with('{').then_some(ErrorClass::InvalidRequest))
        .unwrap_or(ErrorClass::Other);
    (class, retry_after(&text))
}

/// The class of a process that ended on its own before the turn did.
pub(super) fn of_exit(status: ExitStatus, message: Option<&str>, stderr: &str) -> Verdict {
    if let Some(class) = of_signal(status) {
        return (class, None);
    }
    if let Some(message) = message {
        return of_message(message);
    }
    let text = cause(stderr).unwrap_or_default().to_ascii_lowercase();
    let class = find(&text, STARTUP_FRAGMENTS).unwrap_or(match status.code() {
        // Codex's argument parser.
        Some(2) => ErrorClass::Config,
        Some(0) => ErrorClass::Incomplete,
        _ => ErrorClass::Other,
    });
    (class, None)
}

/// The line of standard error that says why the process ended: the last that calls itself an error,
/// for a backtrace or a hint may follow it, or else the last of all.
pub(super) fn cause(stderr: &str) -> Option<&str> {
    let is_error = |line: &&str| line.starts_with("Error") || line.starts_with("error:");
    // Said on every run, also on those that end well.
    let says_something = |line: &&str| !line.trim().is_empty() && !line.starts_with("Reading ");
    let mut lines = stderr.lines().rev();
    lines
        .clone()
        .find(is_error)
        .or_else(|| lines.find(says_something))
}

#[cfg(unix)]
fn of_signal(status: ExitStatus) -> Option<ErrorClass> {
    use std::os::unix::process::ExitStatusExt;

    use rustix::process::Signal;

    let by_hand = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];
    status.signal().map(|signal| {
        if by_hand.iter().any(|sent| sent.as_raw() == signal) {
            ErrorClass::Interrupted
        } else {
            ErrorClass::Transport
        }
    })
}

fn find(text: &str, fragments: &[(&str, ErrorClass)]) -> Option<ErrorClass> {
    let found = fragments.iter().find(|(part, _)| text.contains(part));
    found.map(|(_, class)| *class)
}

fn of_status(status: u16) -> Option<ErrorClass> {
    Some(match status {
        400 | 404 | 405 | 413 | 415 | 422 => ErrorClass::InvalidRequest,
        401 | 403 => ErrorClass::Unauthorized,
        408 | 504 => ErrorClass::Timeout,
        429 => ErrorClass::RateLimit,
        503 | 529 => ErrorClass::Overloaded,
        500..=599 => ErrorClass::ServerError,
        _ => return None,
    })
}

/// The number behind the word `status`, as in `unexpected status 401 Unauthorized` and
/// `last status: 429 Too Many Requests`.
fn http_status(text: &str) -> Option<u16> {
    text.match_indices("status").find_map(|(at, word)| {
        let rest = text[at + word.len()..].trim_start_matches([':', ' ']);
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        rest[..end]
            .parse()
            .ok()
            .filter(|status| (100..600).contains(status))
    })
}

/// The wait in `try again in 1.5s`, `… in 20ms`, `… in 6m30s`, `… in 1 hour 30 minutes`.
fn retry_after(text: &str) -> Option<Duration> {
    let (_, mut rest) = text.split_once("try again in ")?;
    let mut wait = None;
    while let Some((part, behind)) = number_and_unit(rest) {
        wait = Some(wait.unwrap_or(Duration::ZERO).checked_add(part)?);
        rest = behind;
    }
    wait
}

/// A time at the beginning of a text, and what follows it.
fn number_and_unit(text: &str) -> Option<(Duration, &str)> {
    let not_a_number = |c: char| !c.is_ascii_digit() && c != '.';
    let text = text.trim_start();
    let (number, rest) = text.split_at(text.find(not_a_number).unwrap_or(text.len()));
    let number: f64 = number.parse().ok()?;
    let rest = rest.trim_start();
    let not_a_word = |c: char| !c.is_ascii_alphabetic();
    let (unit, rest) = rest.split_at(rest.find(not_a_word).unwrap_or(rest.len()));
    let seconds = match unit {
        "ms" | "milliseconds" | "millisecond" => number / 1e3,
        "s" | "sec" | "secs" | "second" | "seconds" => number,
        "m" | "min" | "mins" | "minute" | "minutes" => number * 60.0,
        "h" | "hour" | "hours" => number * 3600.0,
        "d" | "day" | "days" => number * 86400.0,
        _ => return None,
    };
    Some((Duration::try_from_secs_f64(seconds).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_codex_is_known_to_write_have_their_class() {
        use ErrorClass as C;
        for (message, class) in [
            (
                "exceeded retry limit, last status: 429 Too Many Requests",
                C::RateLimit,
            ),
            ("rate limit exceeded: slow down", C::RateLimit),
            ("You’ve hit your usage limit. Upgrade", C::UsageLimit),
            ("You've hit your usage limit.", C::UsageLimit),
            ("unexpected status 401 Unauthorized: nope", C::Unauthorized),
            (
                "Codex ran out of room in the model's context window.",
                C::ContextWindow,
            ),
            ("{\"error\":{\"message\":\"x\"}}", C::InvalidRequest),
            (
                "We’re currently experiencing high demand, which",
                C::ServerError,
            ),
            ("stream disconnected before completion: eof", C::Transport),
            ("a sentence of the future", C::Other),
            ("the status quo: 12 apples", C::Other),
        ] {
            assert_eq!(of_message(message).0, class, "{message}");
        }
    }

    #[test]
    fn the_cause_is_the_last_error_and_not_what_stands_around_it() {
        let backtrace =
            "Reading prompt from stdin...\nError: no rollout found\n\nStack backtrace:\n 0: x";
        assert_eq!(cause(backtrace), Some("Error: no rollout found"));
        let bare = "Reading additional input from stdin...\nNot inside a trusted directory\n";
        assert_eq!(cause(bare), Some("Not inside a trusted directory"));
        assert_eq!(cause("Reading prompt from stdin...\n\n"), None);
    }

    #[test]
    fn a_hint_when_to_try_again_is_read_in_any_unit() {
        for (message, wait) in [
            ("please try again in 1.5s.", Some(1_500)),
            ("Try again in 20ms", Some(20)),
            ("try again in 2 minutes.", Some(120_000)),
            ("try again in 1 hour", Some(3_600_000)),
            ("try again in 6m30.5s", Some(390_500)),
            ("try again in 1 hour 30 minutes.", Some(5_400_000)),
            ("try again in a while", None),
            ("try again in 5 parsecs", None),
            ("try again in 1e400s", None),
        ] {
            let wait = wait.map(Duration::from_millis);
            assert_eq!(of_message(message).1, wait, "{message}");
        }
    }
}
