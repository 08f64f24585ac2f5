//! The error class of a failed turn, from the text that Codex reports.
//!
//! Codex reports no error codes, only text for people. The text differs between versions (in its
//! apostrophes, for example) and repeats text of the provider and of the user. So only its beginning is
//! matched, which is Codex's own, by what is stable between versions: HTTP status numbers and short ASCII
//! fragments. An unknown text has the class `other`: a wrong class would be worse.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use rustix::process::Signal;
use serde_json::Value;

use crate::event::ErrorClass;

#[cfg(test)]
mod properties;

/// The class, and how long to wait before a retry.
type ClassAndWait = (ErrorClass, Option<Duration>);

/// The text before an HTTP status number, in lower case.
const STATUS_OPENINGS: &[&str] = &["unexpected status ", "exceeded retry limit, last status: "];

/// The text before another error, in lower case.
const PREFIXES: &[&str] = &["error running remote compact task: ", "fatal error: "];

/// The text before the reason why a response is incomplete, in lower case.
const STREAM: &str = "stream disconnected before completion: ";

/// The class of a text, by its beginning, in lower case.
const OPENINGS: &[(&str, ErrorClass)] = &[
    ("codex ran out of room", ErrorClass::ContextWindow),
    (
        "your input exceeds the context window",
        ErrorClass::ContextWindow,
    ),
    ("you've hit your usage limit", ErrorClass::UsageLimit),
    ("quota exceeded", ErrorClass::UsageLimit),
    (
        "to use codex with your chatgpt plan",
        ErrorClass::UsageLimit,
    ),
    ("rate limit", ErrorClass::RateLimit),
    (
        "we're currently experiencing high demand",
        ErrorClass::ServerError,
    ),
    ("selected model is at capacity", ErrorClass::Overloaded),
    ("missing environment variable", ErrorClass::Unauthorized),
    (
        "your access token could not be refreshed",
        ErrorClass::Unauthorized,
    ),
    ("invalid prompt", ErrorClass::InvalidRequest),
    ("incomplete response", ErrorClass::Incomplete),
    ("connection failed: ", ErrorClass::Transport),
    ("error sending request", ErrorClass::Transport),
    // The HTTP client's error for an invalid URL.
    ("builder error", ErrorClass::Config),
    ("too many redirects", ErrorClass::Protocol),
    ("utf8 error: ", ErrorClass::Protocol),
    ("failed to parse responsecompleted", ErrorClass::Protocol),
];

/// The class of a code in the JSON body of a bad request, which Codex passes on unchanged.
const CODES: &[(&str, ErrorClass)] = &[
    ("context_length_exceeded", ErrorClass::ContextWindow),
    ("usage_limit_reached", ErrorClass::UsageLimit),
    ("usage_not_included", ErrorClass::UsageLimit),
    ("insufficient_quota", ErrorClass::UsageLimit),
    ("billing_hard_limit_reached", ErrorClass::UsageLimit),
    ("rate_limit_exceeded", ErrorClass::RateLimit),
    ("invalid_api_key", ErrorClass::Unauthorized),
];

/// The class of a process that exited without a turn, by a fragment of its standard error, in lower case.
/// The first match counts.
const STARTUP_FRAGMENTS: &[(&str, ErrorClass)] = &[
    ("exceeds the maximum length", ErrorClass::InvalidRequest),
    ("no prompt provided", ErrorClass::InvalidRequest),
    ("no rollout found", ErrorClass::InvalidRequest),
    ("already has an active writer", ErrorClass::InvalidRequest),
    ("not inside a trusted directory", ErrorClass::Config),
    ("error loading config", ErrorClass::Config),
    ("error loading rules", ErrorClass::Config),
    ("error finding codex home", ErrorClass::Config),
    ("mcp servers failed", ErrorClass::Config),
    ("model provider", ErrorClass::Config),
    ("is no longer supported", ErrorClass::Config),
    // Rust's format of an operating system error.
    ("(os error ", ErrorClass::Io),
    // For example, because the thread's file is corrupt.
    ("thread/resume failed", ErrorClass::InvalidRequest),
    // JSON-RPC's codes of an invalid request and invalid parameters: Codex uses it internally.
    ("(code -32600)", ErrorClass::InvalidRequest),
    ("(code -32602)", ErrorClass::InvalidRequest),
];

/// The beginnings of lines on standard error that are never a cause: Codex writes the first two in any
/// case, and Rust writes the last one after a panic.
const NOISE: &[&str] = &["Reading ", "WARNING: ", "note: "];

/// How many lines below an error can have its location.
const DETAILS: usize = 2;

/// Returns the class of a turn that Codex reported as failed.
pub(super) fn of_message(message: &str) -> ClassAndWait {
    let text = message.to_ascii_lowercase().replace('’', "'");
    let class = of_text(&text)
        // The provider's answer to a bad request, which Codex passes on unchanged.
        .or_else(|| text.starts_with('{').then(|| of_body(&text)))
        .unwrap_or(ErrorClass::Other);
    // The text of other classes may mention a wait, but a retry after it would not help.
    let may_wait = class.is_retryable() || class == ErrorClass::UsageLimit;
    (class, may_wait.then(|| retry_after(&text)).flatten())
}

/// Returns the class of a process that exited before the end of the turn.
///
/// `thread_started` is whether Codex had reported the thread by then.
pub(super) fn of_exit(
    status: ExitStatus,
    thread_started: bool,
    message: Option<&str>,
    stderr: &str,
) -> ClassAndWait {
    if let Some(class) = of_signal(status) {
        return (class, None);
    }
    if let Some(message) = message {
        return of_message(message);
    }
    let cause = cause(stderr).unwrap_or_default();
    let text = cause.to_ascii_lowercase();
    // After the start of the turn standard error is noisy, so only a line marked as an error counts.
    let known = (!thread_started || is_error(&cause))
        .then(|| find(STARTUP_FRAGMENTS, |fragment| text.contains(fragment)));
    let class = known.flatten().unwrap_or(match status.code() {
        Some(0) => ErrorClass::Incomplete,
        // Codex catches SIGINT and exits without an error line. Every other failure of a turn has one.
        Some(1) if thread_started && !is_error(&cause) => ErrorClass::Interrupted,
        // Codex's argument parser.
        Some(2) if is_error(&cause) => ErrorClass::Config,
        // Rust's exit code after a panic: Codex crashed, as by a signal.
        Some(101) if stderr.contains("panicked at") => ErrorClass::Transport,
        // A shell's exit codes for a program that is missing or not executable: Codex's launcher is a
        // script.
        Some(126 | 127) => ErrorClass::Spawn,
        _ => ErrorClass::Other,
    });
    (class, None)
}

/// Returns the line of standard error that explains the exit: the last one marked as an error, since a
/// backtrace or a hint may follow it, or else the last line.
pub(super) fn cause(stderr: &str) -> Option<String> {
    let is_noise =
        |line: &str| line.trim().is_empty() || NOISE.iter().any(|start| line.starts_with(start));
    let lines: Vec<_> = stderr.lines().collect();
    let at = lines
        .iter()
        .rposition(|line| is_error(line))
        .or_else(|| lines.iter().rposition(|line| !is_noise(line)))?;
    let mut text = lines[at].trim().to_owned();
    // The location of the error, if the lines below have it.
    for line in lines[at + 1..].iter().take(DETAILS) {
        if !(text.ends_with(':') || line.starts_with("in `")) {
            break;
        }
        text.push(' ');
        text.push_str(line.trim());
    }
    Some(text)
}

/// Returns the class of a process that a signal ended.
fn of_signal(status: ExitStatus) -> Option<ErrorClass> {
    /// The signals of a crash, and SIGKILL, which the kernel sends when memory runs out.
    const LOST: &[Signal] = &[
        Signal::ABORT,
        Signal::BUS,
        Signal::FPE,
        Signal::ILL,
        Signal::KILL,
        Signal::PIPE,
        Signal::SEGV,
        Signal::SYS,
        Signal::TRAP,
    ];

    let signal = status.signal()?;
    let is = |known: &Signal| known.as_raw() == signal;
    Some(if LOST.iter().any(is) {
        ErrorClass::Transport
    } else if is(&Signal::XFSZ) {
        // The limit of a file's size.
        ErrorClass::Io
    } else {
        // A person or a supervisor sends all others.
        ErrorClass::Interrupted
    })
}

/// Returns the class of a text, in lower case, whose beginning is known.
fn of_text(mut text: &str) -> Option<ErrorClass> {
    while let Some(inside) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = inside;
    }
    if let Some(reason) = text.strip_prefix(STREAM) {
        // An unknown reason may be text of the provider.
        return Some(opening(reason).unwrap_or(ErrorClass::Transport));
    }
    if let Some(status) = http_status(text) {
        return of_status(status);
    }
    opening(text).or_else(|| is_unknown_model(text).then_some(ErrorClass::InvalidRequest))
}

/// Returns the class of the JSON body of a bad request.
fn of_body(text: &str) -> ErrorClass {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    ["code", "type"]
        .iter()
        .filter_map(|key| body["error"][key].as_str())
        .find_map(|code| find(CODES, |known| known == code))
        .unwrap_or(ErrorClass::InvalidRequest)
}

fn of_status(status: u16) -> Option<ErrorClass> {
    Some(match status {
        400 | 404 | 405 | 406 | 410 | 411 | 413 | 414 | 415 | 422 | 431 => {
            ErrorClass::InvalidRequest
        }
        401 | 403 | 407 => ErrorClass::Unauthorized,
        402 => ErrorClass::UsageLimit,
        // A proxy returns the last two when its server does not answer.
        408 | 504 | 522 | 524 => ErrorClass::Timeout,
        429 => ErrorClass::RateLimit,
        503 | 529 => ErrorClass::Overloaded,
        500..=599 => ErrorClass::ServerError,
        _ => return None,
    })
}

/// Returns the number in `unexpected status 401 Unauthorized` or in `exceeded retry limit, last status: 429
/// Too Many Requests`.
fn http_status(text: &str) -> Option<u16> {
    let behind = STATUS_OPENINGS
        .iter()
        .find_map(|opening| text.strip_prefix(opening))?;
    behind
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn opening(text: &str) -> Option<ErrorClass> {
    find(OPENINGS, |opening| text.starts_with(opening))
}

/// Returns the class of the first entry that matches.
fn find(table: &[(&str, ErrorClass)], matches: impl Fn(&str) -> bool) -> Option<ErrorClass> {
    let found = table.iter().find(|(part, _)| matches(part));
    found.map(|(_, class)| *class)
}

/// Returns whether the text is ``The model `gpt-0` does not exist …``, which a provider answers and Codex
/// passes on unchanged.
fn is_unknown_model(text: &str) -> bool {
    let model = text.strip_prefix("the model `");
    model
        .and_then(|text| text.split_once('`'))
        .is_some_and(|(_, behind)| behind.starts_with(" does not exist"))
}

fn is_error(line: &str) -> bool {
    ["Error", "error:"]
        .iter()
        .any(|start| line.starts_with(start))
}

/// Returns the wait in `try again in 1.5s`, `… in 20ms`, `… in 6m30s` or `… in 1 hour 30 minutes`, in lower
/// case.
fn retry_after(text: &str) -> Option<Duration> {
    let (_, mut rest) = text.split_once("try again in ")?;
    let mut wait = None;
    while let Some((part, behind)) = number_and_unit(rest) {
        wait = Some(wait.unwrap_or(Duration::ZERO).checked_add(part)?);
        rest = behind;
    }
    wait
}

/// Splits a duration off the beginning of a text.
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
    fn a_known_message_has_its_class() {
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
            (
                "Error running remote compact task: rate limit exceeded: x",
                C::RateLimit,
            ),
            (
                "Your access token could not be refreshed. Log in again.",
                C::Unauthorized,
            ),
            ("a sentence of the future", C::Other),
            ("the status quo: 12 apples", C::Other),
            ("", C::Other),
        ] {
            assert_eq!(of_message(message).0, class, "{message}");
        }
    }

    #[test]
    fn any_number_of_prefixes_is_skipped() {
        let nested = format!("{}Quota exceeded.", "Fatal error: ".repeat(100_000));
        assert_eq!(of_message(&nested).0, ErrorClass::UsageLimit);
    }

    #[test]
    fn text_of_the_user_or_the_provider_does_not_decide_the_class() {
        use ErrorClass as C;
        let text =
            "unexpected status 401, rate limit exceeded, the context window, try again in 5s";
        for (message, class) in [
            (format!("your prompt says: {text}"), C::Other),
            (format!("\"{text}\""), C::Other),
            (
                format!("{{\"error\":{{\"message\":\"{text}\"}}}}"),
                C::InvalidRequest,
            ),
            (
                format!("unexpected status 403 Forbidden: {text}"),
                C::Unauthorized,
            ),
            (format!("unexpected status 409 Conflict: {text}"), C::Other),
        ] {
            assert_eq!(of_message(&message), (class, None), "{message}");
        }
    }

    #[test]
    fn the_cause_is_the_last_error_line_without_the_lines_around_it() {
        for (stderr, expected) in [
            (
                "Reading prompt from stdin...\nError: no rollout found\n\nStack backtrace:\n 0: x",
                Some("Error: no rollout found"),
            ),
            (
                "Reading additional input from stdin...\nNot inside a trusted directory\n",
                Some("Not inside a trusted directory"),
            ),
            ("Reading prompt from stdin...\n\n", None),
            (
                "thread 'main' panicked at x.rs:1:1:\nno space\nnote: run with `RUST_BACKTRACE=1`",
                Some("no space"),
            ),
        ] {
            assert_eq!(cause(stderr).as_deref(), expected);
        }
    }

    #[test]
    fn the_cause_includes_the_location_on_the_lines_below() {
        let broken =
            "Error loading config.toml:\nconfig.toml:1:1: a key is missing\n  |\n1 | = 7\n";
        let expected = "Error loading config.toml: config.toml:1:1: a key is missing";
        assert_eq!(cause(broken).as_deref(), Some(expected));
        let located = "Error loading config.toml: unknown variant `x`\nin `approval_policy`\n\n";
        let expected = "Error loading config.toml: unknown variant `x` in `approval_policy`";
        assert_eq!(cause(located).as_deref(), Some(expected));
    }

    #[test]
    fn the_wait_before_a_retry_is_parsed_in_any_unit() {
        for (message, wait) in [
            ("please try again in 1.5s.", Some(1_500)),
            ("try again in 20ms", Some(20)),
            ("try again in 2 minutes.", Some(120_000)),
            ("try again in 1 hour", Some(3_600_000)),
            ("try again in 6m30.5s", Some(390_500)),
            ("try again in 1 hour 30 minutes.", Some(5_400_000)),
            ("try again in a while", None),
            ("try again in 5 parsecs", None),
            ("try again in 1e400s", None),
        ] {
            let wait = wait.map(Duration::from_millis);
            assert_eq!(retry_after(message), wait, "{message}");
        }
    }
}
