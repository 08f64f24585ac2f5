//! What class a failure has, by what Codex says of it.
//!
//! Codex puts no error code on its lines, only text for people, which differs by version (its
//! apostrophes, for one), and into which it puts the words of others: the provider's, and with them
//! the user's. So a text is looked at from its beginning on, where Codex's own words stand, and by what
//! survives versions: HTTP status numbers and short ASCII fragments. What is not recognised is `other`,
//! with its text, rather than a guess.

use std::{process::ExitStatus, time::Duration};

use serde_json::Value;

use super::retry_after::retry_after;
use crate::event::ErrorClass;

#[cfg(test)]
mod properties;

type Verdict = (ErrorClass, Option<Duration>);

/// What stands before the number of an HTTP status, in lower case.
const STATUS_OPENINGS: &[&str] = &["unexpected status ", "exceeded retry limit, last status: "];

/// What Codex puts before another failure.
const PREFIXES: &[&str] = &["error running remote compact task: ", "fatal error: "];

/// What Codex puts before the reason why a response did not come to its end.
const STREAM: &str = "stream disconnected before completion: ";

/// How a text begins, in lower case, and its class.
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
    // What the HTTP client says of an address that is none.
    ("builder error", ErrorClass::Config),
    ("too many redirects", ErrorClass::Protocol),
    ("utf8 error: ", ErrorClass::Protocol),
    ("failed to parse responsecompleted", ErrorClass::Protocol),
];

/// Codes in the JSON body of a bad request, which Codex passes on as it came.
const CODES: &[(&str, ErrorClass)] = &[
    ("context_length_exceeded", ErrorClass::ContextWindow),
    ("usage_limit_reached", ErrorClass::UsageLimit),
    ("usage_not_included", ErrorClass::UsageLimit),
    ("insufficient_quota", ErrorClass::UsageLimit),
    ("billing_hard_limit_reached", ErrorClass::UsageLimit),
    ("rate_limit_exceeded", ErrorClass::RateLimit),
    ("invalid_api_key", ErrorClass::Unauthorized),
];

/// Fragments of what a process that ends without a turn says on standard error, of which the first that
/// is found decides.
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
    // How Rust prints an error of the operating system.
    ("(os error ", ErrorClass::Io),
    // A thread whose file is broken, for one.
    ("thread/resume failed", ErrorClass::InvalidRequest),
    // JSON-RPC's numbers for a bad request and bad parameters: Codex talks to itself by it.
    ("(code -32600)", ErrorClass::InvalidRequest),
    ("(code -32602)", ErrorClass::InvalidRequest),
];

/// How lines of standard error begin that are no cause: the first two stand there whatever happens, the
/// last one follows a panic.
const SAYS_NOTHING: &[&str] = &["Reading ", "WARNING: ", "note: "];

/// How many lines below an error may say where it is.
const DETAILS: usize = 2;

/// The class of a turn that Codex says has failed.
pub(super) fn of_message(message: &str) -> Verdict {
    let text = message.to_ascii_lowercase().replace('’', "'");
    let class = of_text(&text)
        // The provider's answer to a bad request is passed on as it came, a bare JSON object.
        .or_else(|| text.starts_with('{').then(|| of_body(&text)))
        .unwrap_or(ErrorClass::Other);
    // Elsewhere the words are not about a wait of ours.
    let may_wait = class.is_retryable() || class == ErrorClass::UsageLimit;
    (class, may_wait.then(|| retry_after(&text)).flatten())
}

/// The class of a process that ended on its own before the turn did.
///
/// `begun` says whether it had told of its thread by then.
pub(super) fn of_exit(
    status: ExitStatus,
    begun: bool,
    message: Option<&str>,
    stderr: &str,
) -> Verdict {
    if let Some(class) = of_signal(status) {
        return (class, None);
    }
    if let Some(message) = message {
        return of_message(message);
    }
    let cause = cause(stderr).unwrap_or_default();
    let text = cause.to_ascii_lowercase();
    // Once the turn has begun, standard error is noisy, and only what calls itself an error counts.
    let known = (!begun || is_error(&cause)).then(|| find(&text, STARTUP_FRAGMENTS));
    let class = known.flatten().unwrap_or(match status.code() {
        Some(0) => ErrorClass::Incomplete,
        // Every other failure of a turn has a last line; a SIGINT, which Codex catches, has none.
        Some(1) if begun && !is_error(&cause) => ErrorClass::Interrupted,
        // Codex's argument parser.
        Some(2) if is_error(&cause) => ErrorClass::Config,
        // Rust's code of a panic: Codex was lost on the way, as by a signal.
        Some(101) if stderr.contains("panicked at") => ErrorClass::Transport,
        // A shell's, for a program that is not there or cannot be run: Codex's launcher is a script.
        Some(126 | 127) => ErrorClass::Spawn,
        _ => ErrorClass::Other,
    });
    (class, None)
}

/// What standard error says of why the process ended: the last line that calls itself an error, for a
/// backtrace or a hint may follow it, or else the last line of all.
pub(super) fn cause(stderr: &str) -> Option<String> {
    let says_something = |line: &str| {
        !line.trim().is_empty() && !SAYS_NOTHING.iter().any(|start| line.starts_with(start))
    };
    let lines: Vec<_> = stderr.lines().collect();
    let at = lines
        .iter()
        .rposition(|line| is_error(line))
        .or_else(|| lines.iter().rposition(|line| says_something(line)))?;
    let mut text = lines[at].trim().to_owned();
    // Where it is wrong, when that stands on the lines below.
    for line in lines[at + 1..].iter().take(DETAILS) {
        if !(text.ends_with(':') || line.starts_with("in `")) {
            break;
        }
        text.push(' ');
        text.push_str(line.trim());
    }
    Some(text)
}

#[cfg(unix)]
fn of_signal(status: ExitStatus) -> Option<ErrorClass> {
    use std::os::unix::process::ExitStatusExt;

    use rustix::process::Signal;

    /// A defect, or a SIGKILL, as of the kernel that ran out of memory.
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
        // The limit on the size of a file.
        ErrorClass::Io
    } else {
        // All others are sent by someone.
        ErrorClass::Interrupted
    })
}

/// The class of a text in lower case that begins with words of Codex's own.
fn of_text(mut text: &str) -> Option<ErrorClass> {
    while let Some(inside) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = inside;
    }
    if let Some(reason) = text.strip_prefix(STREAM) {
        // What is no reason that is known may be the words of a provider.
        return Some(opening(reason).unwrap_or(ErrorClass::Transport));
    }
    if let Some(status) = http_status(text) {
        return of_status(status);
    }
    opening(text).or_else(|| names_no_model(text).then_some(ErrorClass::InvalidRequest))
}

/// The class of the JSON body of a bad request.
fn of_body(text: &str) -> ErrorClass {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let said = ["code", "type"].map(|key| body["error"][key].as_str());
    let known = said
        .into_iter()
        .flatten()
        .find_map(|said| CODES.iter().find(|(code, _)| *code == said));
    known.map_or(ErrorClass::InvalidRequest, |(_, class)| *class)
}

fn of_status(status: u16) -> Option<ErrorClass> {
    Some(match status {
        400 | 404 | 405 | 406 | 410 | 411 | 413 | 414 | 415 | 422 | 431 => {
            ErrorClass::InvalidRequest
        }
        401 | 403 | 407 => ErrorClass::Unauthorized,
        402 => ErrorClass::UsageLimit,
        // The last two are a proxy's, whose server did not answer it.
        408 | 504 | 522 | 524 => ErrorClass::Timeout,
        429 => ErrorClass::RateLimit,
        503 | 529 => ErrorClass::Overloaded,
        500..=599 => ErrorClass::ServerError,
        _ => return None,
    })
}

/// The number of `unexpected status 401 Unauthorized` and `exceeded retry limit, last status: 429 Too
/// Many Requests`.
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
    let found = OPENINGS.iter().find(|(part, _)| text.starts_with(part));
    found.map(|(_, class)| *class)
}

fn find(text: &str, fragments: &[(&str, ErrorClass)]) -> Option<ErrorClass> {
    let found = fragments.iter().find(|(part, _)| text.contains(part));
    found.map(|(_, class)| *class)
}

/// Whether a provider says ``The model `gpt-0` does not exist …``, which Codex passes on bare.
fn names_no_model(text: &str) -> bool {
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
    fn what_stands_before_a_failure_is_passed_over_however_often_it_stands_there() {
        let nested = format!("{}Quota exceeded.", "Fatal error: ".repeat(100_000));
        assert_eq!(of_message(&nested).0, ErrorClass::UsageLimit);
    }

    #[test]
    fn the_words_of_others_do_not_mislead() {
        use ErrorClass as C;
        let words =
            "unexpected status 401, rate limit exceeded, the context window, try again in 5s";
        for (message, class) in [
            (format!("your prompt says: {words}"), C::Other),
            (format!("\"{words}\""), C::Other),
            (
                format!("{{\"error\":{{\"message\":\"{words}\"}}}}"),
                C::InvalidRequest,
            ),
            (
                format!("unexpected status 403 Forbidden: {words}"),
                C::Unauthorized,
            ),
            (format!("unexpected status 409 Conflict: {words}"), C::Other),
        ] {
            assert_eq!(of_message(&message), (class, None), "{message}");
        }
    }

    #[test]
    fn the_cause_is_the_last_error_and_not_what_stands_around_it() {
        for (stderr, told) in [
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
            assert_eq!(cause(stderr).as_deref(), told);
        }
    }

    #[test]
    fn the_cause_goes_on_where_the_error_does() {
        let broken =
            "Error loading config.toml:\nconfig.toml:1:1: a key is missing\n  |\n1 | = 7\n";
        let told = "Error loading config.toml: config.toml:1:1: a key is missing";
        assert_eq!(cause(broken).as_deref(), Some(told));
        let located = "Error loading config.toml: unknown variant `x`\nin `approval_policy`\n\n";
        let told = "Error loading config.toml: unknown variant `x` in `approval_policy`";
        assert_eq!(cause(located).as_deref(), Some(told));
    }
}
