//! What Codex's text says of a failed turn: the error class, the wait before a retry, and what may be recorded.
//!
//! `codex exec` reports no error codes, only text for people. The text differs between versions (in its
//! apostrophes, for example) and repeats text of the provider and of the user. So only its beginning is
//! matched, which is Codex's own, by what is stable between versions: HTTP status numbers and short ASCII
//! fragments. An unknown text has the class `other`: a wrong class would be worse.
//!
//! The app-server also tells its own kind of an error. It counts before the text, but leaves some causes to it.
//!
//! Only what matched is recorded. What follows may be a text of others, and is in the caller's error alone.

mod body;
mod hint;
#[cfg(test)]
mod properties;
mod tables;
mod words;

use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use rustix::process::Signal;

use self::{
    tables::{
        ACTIVE_WRITER, INFOS, NOISE, OPENINGS, PREFIXES, RATE_LIMIT, REJECTIONS, SETTING,
        STARTUP_FRAGMENTS, STATUS_OPENINGS, STREAM, TOOL_CAUSES, TOOL_FAILED, TOOL_REFUSALS,
        USAGE_LIMIT, VAGUE_INFOS,
    },
    words::{skip_any, strip, strip_any},
};
use super::CodexErrorInfo;
use crate::event::ErrorClass;

/// How many lines below an error can have its location.
const DETAILS: usize = 2;

/// The maximum length of a name or code that is recorded, in bytes.
const MAX_NAME: usize = 64;

/// What is known of a failure.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failure {
    pub(super) class: ErrorClass,
    /// How long to wait before a retry.
    pub(super) retry_after: Option<Duration>,
    /// What may be recorded of the text: Codex's own words. Empty when there are none.
    pub(super) recorded: String,
}

/// A text whose beginning is known.
struct Known<'a> {
    class: ErrorClass,
    retry_after: Option<Duration>,
    /// What follows the beginning.
    rest: &'a str,
}

/// Returns what is known of a turn that Codex reported as failed, with its own kind of the error if it has one.
///
/// The wait before a retry is in the words alone.
pub(super) fn of_turn(message: &str, info: Option<&CodexErrorInfo>) -> Failure {
    let said = of_words(message);
    let class = info
        .and_then(of_info)
        .or_else(|| Some(said.as_ref()?.class).filter(|class| *class != ErrorClass::Other))
        .or_else(|| find(VAGUE_INFOS, &info.filter(|info| !was_answered(info))?.kind));
    let mut failure = said
        .or_else(|| {
            Some(Failure {
                class: ErrorClass::Other,
                retry_after: None,
                recorded: recorded_info(info?)?,
            })
        })
        .unwrap_or_else(|| unknown(message));
    failure.class = class.unwrap_or(ErrorClass::Other);
    failure
}

/// Returns the class of Codex's own kind of an error; `None` where the words may know more.
fn of_info(info: &CodexErrorInfo) -> Option<ErrorClass> {
    let of_status = info.http_status.and_then(of_status);
    of_status.or_else(|| find(INFOS, &info.kind))
}

/// Returns whether the provider answered with an error: the connection worked.
fn was_answered(info: &CodexErrorInfo) -> bool {
    info.http_status.is_some_and(|status| status >= 300)
}

fn find(kinds: &[(&str, ErrorClass)], kind: &str) -> Option<ErrorClass> {
    let known = kinds.iter().find(|(known, _)| *known == kind);
    known.map(|(_, class)| *class)
}

/// Returns what may be recorded of Codex's own kind of an error: its name, unless it is too odd for one.
pub(super) fn recorded_kind(info: &CodexErrorInfo) -> Option<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let kind = info.kind.as_str();
    let is_short = (1..=MAX_NAME).contains(&kind.len());
    (is_short && kind.chars().all(is_name)).then(|| kind.to_owned())
}

/// Returns whether Codex knows the kind of an error.
pub(super) fn has_kind(info: &CodexErrorInfo) -> bool {
    info.kind != "other"
}

/// Returns what may be recorded of an error whose words are unknown.
fn recorded_info(info: &CodexErrorInfo) -> Option<String> {
    let kind = recorded_kind(info).filter(|_| has_kind(info))?;
    Some(match info.http_status {
        Some(status) => format!("the error `{kind}` with the HTTP status {status}"),
        None => format!("the error `{kind}`"),
    })
}

/// Returns what is known of a request that the app-server rejected. The recorded text is empty if its words are
/// unknown.
pub(super) fn of_rejection(code: i64, message: &str) -> Failure {
    let of_words = REJECTIONS.iter().find_map(|(opening, class)| {
        let rest = strip(message, opening)?;
        Some((*class, own_words(message, rest)))
    });
    let (class, recorded) = of_words
        .or_else(|| of_active_writer(message))
        .unwrap_or_else(|| (of_code(code), String::new()));
    Failure {
        class,
        retry_after: None,
        recorded,
    }
}

fn of_active_writer(message: &str) -> Option<(ErrorClass, String)> {
    let id = strip(message, "thread ")?.strip_suffix(ACTIVE_WRITER)?;
    let is_id = name(id) == id.len();
    is_id.then(|| (ErrorClass::InvalidRequest, message.to_owned()))
}

/// Returns the class of an error by JSON-RPC.
const fn of_code(code: i64) -> ErrorClass {
    match code {
        // Invalid requests and parameters.
        -32600 | -32602 => ErrorClass::InvalidRequest,
        // More requests than the server takes.
        -32001 => ErrorClass::Overloaded,
        _ => ErrorClass::Other,
    }
}

/// Returns what is known of a server that exited before the end of a turn: it was lost, however it went. Its
/// standard error has texts of many turns.
pub(super) fn of_server_exit(stderr: &str) -> Failure {
    let known = cause(stderr).and_then(|cause| at_startup(&cause));
    Failure {
        class: ErrorClass::Transport,
        retry_after: None,
        recorded: known.map(|known| known.recorded).unwrap_or_default(),
    }
}

/// Returns what is known of the words with which Codex reported that a turn failed.
pub(super) fn of_message(message: &str) -> Failure {
    of_words(message).unwrap_or_else(|| unknown(message))
}

/// Returns what is known of a text; `None` if it is unknown or empty.
fn of_words(message: &str) -> Option<Failure> {
    let text = without_prefixes(message);
    if let Some(known) = known(text) {
        return Some(Failure {
            class: known.class,
            retry_after: known.retry_after,
            recorded: own_words(text, known.rest),
        });
    }
    let body = text.trim();
    // The provider's answer to a bad request, which Codex passes on unchanged.
    body.starts_with('{').then(|| {
        let (class, recorded) = body::of_body(body);
        Failure {
            class,
            retry_after: None,
            recorded,
        }
    })
}

fn unknown(message: &str) -> Failure {
    let recorded = match without_prefixes(message).trim().len() {
        0 => "Codex reported no reason".to_owned(),
        length => format!("an unknown text of {length} bytes, which is not recorded"),
    };
    Failure {
        class: ErrorClass::Other,
        retry_after: None,
        recorded,
    }
}

/// Returns what is known of a process that exited before the end of the turn.
///
/// `thread_started` is whether Codex had reported the thread by then.
pub(super) fn of_exit(
    status: ExitStatus,
    thread_started: bool,
    message: Option<&str>,
    stderr: &str,
) -> Failure {
    let of_class = |class| Failure {
        class,
        retry_after: None,
        recorded: String::new(),
    };
    if let Some(class) = of_signal(status) {
        return of_class(class);
    }
    if let Some(message) = message {
        return of_message(message);
    }
    let cause = cause(stderr).unwrap_or_default();
    // After the start of the turn standard error is noisy, so only a line marked as an error counts.
    if (!thread_started || is_error(&cause))
        && let Some(failure) = at_startup(&cause)
    {
        return failure;
    }
    of_class(match status.code() {
        Some(0) => ErrorClass::Incomplete,
        // Codex's argument parser.
        Some(2) if is_error(&cause) => ErrorClass::Config,
        // Rust's exit code after a panic: Codex crashed, as by a signal.
        Some(101) if stderr.contains("panicked at") => ErrorClass::Transport,
        // A shell's exit codes for a program that is missing or not executable: Codex's launcher is a
        // script.
        Some(126 | 127) => ErrorClass::Spawn,
        // Also 1: Codex exits so when it catches SIGINT, but not only then.
        _ => ErrorClass::Other,
    })
}

/// Returns what is known of a process that did not start the turn, by a line of its standard error.
fn at_startup(cause: &str) -> Option<Failure> {
    let text = cause.to_ascii_lowercase();
    STARTUP_FRAGMENTS.iter().find_map(|(fragment, class)| {
        let cause = &cause[text.find(fragment)?..];
        // The number of an error of the operating system.
        let rest = cause[fragment.len()..].trim_start_matches(|c: char| c.is_ascii_digit());
        let recorded = match *fragment {
            SETTING => "an invalid setting".to_owned(),
            _ => own_words(cause, rest),
        };
        Some(Failure {
            class: *class,
            retry_after: None,
            recorded,
        })
    })
}

/// Returns what may be recorded of a message about a lost connection, such as `Reconnecting... 1/5 (…)`.
pub(super) fn of_retry(message: &str) -> String {
    const OFFLINE: &str = "Reconnecting... waiting for network";

    if message.starts_with(OFFLINE) {
        return OFFLINE.to_owned();
    }
    let start = message.find(|c: char| c.is_ascii_digit());
    let (words, rest) = message.split_at(start.unwrap_or(message.len()));
    let is_count = |c: char| c.is_ascii_digit() || c == '/';
    let end = rest.find(|c| !is_count(c)).unwrap_or(rest.len());
    let (count, reason) = rest.split_at(end);
    if strip(words, "reconnecting... ") != Some("") {
        return "Reconnecting".to_owned();
    }
    match reason.strip_prefix(" (") {
        Some(reason) => {
            let reason = of_message(reason.trim_end_matches(')')).recorded;
            format!("{words}{count} ({reason})")
        }
        None => format!("{words}{count}"),
    }
}

/// Returns the class of the error of an MCP tool, and what may be recorded of it.
pub(super) fn of_tool(error: &str) -> (ErrorClass, &'static str) {
    let refused = |known: &&str| strip(error, known).is_some();
    if let Some(refusal) = TOOL_REFUSALS.iter().copied().find(refused) {
        return (ErrorClass::ApprovalDenied, refusal);
    }
    let cause = strip(error, "tool call error: tool call failed for `")
        .and_then(|named| named.split_once("`\n\nCaused by:\n"))
        .map(|(_, cause)| cause.trim_start());
    let known = cause.and_then(|cause| {
        let known = TOOL_CAUSES.iter();
        known.copied().find(|known| strip(cause, known).is_some())
    });
    (ErrorClass::ToolFailed, known.unwrap_or(TOOL_FAILED))
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

fn without_prefixes(mut text: &str) -> &str {
    while let Some(inside) = strip_any(text, PREFIXES) {
        text = inside;
    }
    text
}

/// Returns what is known of a text by its beginning.
fn known(text: &str) -> Option<Known<'_>> {
    if let Some(reason) = strip(text, STREAM) {
        // An unknown reason may be text of the provider.
        return Some(opening(reason).unwrap_or(Known {
            class: ErrorClass::Transport,
            retry_after: None,
            rest: reason,
        }));
    }
    http_status(text)
        .or_else(|| opening(text))
        .or_else(|| unknown_model(text))
}

/// Returns the words before `rest`, with a mark if more follows.
fn own_words(text: &str, rest: &str) -> String {
    if rest.contains(|c: char| !c.is_ascii_punctuation() && !c.is_whitespace()) {
        let own = text[..text.len() - rest.len()].trim_end_matches([' ', ':', ',', '`']);
        format!("{own} …")
    } else {
        text.trim_end().to_owned()
    }
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

/// Finds the status in `unexpected status 401 Unauthorized` or in `exceeded retry limit, last status: 429 Too
/// Many Requests`.
fn http_status(text: &str) -> Option<Known<'_>> {
    let number = strip_any(text, STATUS_OPENINGS)?;
    let end = number.find(|c: char| !c.is_ascii_digit());
    let (number, rest) = number.split_at(end.unwrap_or(number.len()));
    Some(Known {
        class: of_status(number.parse().ok()?).unwrap_or(ErrorClass::Other),
        retry_after: None,
        rest,
    })
}

fn opening(text: &str) -> Option<Known<'_>> {
    if let Some(rest) = strip(text, RATE_LIMIT) {
        let (retry_after, rest) = hint::of_rate_limit(rest);
        return Some(Known {
            class: ErrorClass::RateLimit,
            retry_after,
            rest,
        });
    }
    if let Some(rest) = strip(text, USAGE_LIMIT) {
        return Some(Known {
            class: ErrorClass::UsageLimit,
            // The whole text is Codex's own.
            retry_after: hint::anywhere(rest),
            rest,
        });
    }
    let (opening, class, more) = OPENINGS
        .iter()
        .find(|(opening, ..)| strip(text, opening).is_some())?;
    let rest = skip_any(strip(text, opening)?, more);
    let named = (*class == ErrorClass::Unauthorized).then(|| variable(rest));
    Some(Known {
        class: *class,
        retry_after: None,
        rest: named.flatten().unwrap_or(rest),
    })
}

/// Skips the name in ``: `OPENAI_API_KEY` ``.
fn variable(rest: &str) -> Option<&str> {
    let quoted = rest.strip_prefix(": `")?;
    quoted[name(quoted)..].strip_prefix('`')
}

/// Finds ``The model `gpt-0` does not exist …``, which a provider answers and Codex passes on unchanged.
fn unknown_model(text: &str) -> Option<Known<'_>> {
    let model = strip(text, "the model `")?;
    let (id, behind) = model.split_once('`')?;
    let rest = strip(behind, " does not exist")?;
    Some(Known {
        class: ErrorClass::InvalidRequest,
        retry_after: None,
        rest: if name(id) == id.len() {
            skip_any(rest, &[" or you do not have access to it"])
        } else {
            model
        },
    })
}

/// Returns the length of the name that a text begins with; 0 if it is too long for a name.
fn name(text: &str) -> usize {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.:/".contains(c);
    let length = text.find(|c| !is_name(c)).unwrap_or(text.len());
    if length > MAX_NAME { 0 } else { length }
}

fn is_error(line: &str) -> bool {
    ["Error", "error:"]
        .iter()
        .any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests;
