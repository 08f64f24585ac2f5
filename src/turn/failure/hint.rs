//! How long to wait before a retry, where Codex's text says so.

use std::time::Duration;

use super::words::{skip_any, strip};

const TRY_AGAIN: &str = "try again in ";

/// Returns the wait in a text that begins with a rate limit, and what follows the words that are known.
///
/// The wait counts only directly behind the rate limit, or behind the sentence of OpenAI that names the
/// limit: `Rate limit reached for gpt-5.5 in organization … Please try again in 1.5s.` Further in, it may be
/// a text of the user.
pub(super) fn of_rate_limit(text: &str) -> (Option<Duration>, &str) {
    let mut known = skip_any(text, &[" exceeded", " reached"]);
    // Codex's own words, and then the provider's.
    if let Some(again) = strip(known, ": rate limit reached") {
        known = again;
    }
    let rest = match known.strip_prefix(" for ") {
        Some(sentence) => sentence.split_once(". ").map_or("", |(_, rest)| rest),
        None => skip_any(known, &[": ", ", ", ". "]),
    };
    let wait = strip(skip_any(rest, &["please "]), TRY_AGAIN).and_then(parse);
    match wait {
        // Nothing in between.
        Some((wait, behind)) if !known.starts_with(" for ") => (Some(wait), behind),
        wait => (wait.map(|(wait, _)| wait), known),
    }
}

/// Returns the wait anywhere in a text, all of which is Codex's own.
pub(super) fn anywhere(text: &str) -> Option<Duration> {
    let mut starts = text.char_indices().map(|(at, _)| &text[at..]);
    let behind = starts.find_map(|rest| strip(rest, TRY_AGAIN))?;
    parse(behind).map(|(wait, _)| wait)
}

/// Reads `1.5s`, `20ms`, `6m30s` or `1 hour 30 minutes` at the beginning of a text, and returns what follows.
fn parse(text: &str) -> Option<(Duration, &str)> {
    let (mut wait, mut rest) = number_and_unit(text)?;
    while let Some((part, behind)) = number_and_unit(rest) {
        wait = wait.checked_add(part)?;
        rest = behind;
    }
    Some((wait, rest))
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
    let seconds = match unit.to_ascii_lowercase().as_str() {
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
    fn the_wait_before_a_retry_is_parsed_in_any_unit() {
        for (message, wait) in [
            ("1.5s.", Some(1_500)),
            ("20ms", Some(20)),
            ("2 Minutes.", Some(120_000)),
            ("1 hour", Some(3_600_000)),
            ("6m30.5s", Some(390_500)),
            ("1 hour 30 minutes.", Some(5_400_000)),
            ("a while", None),
            ("5 parsecs", None),
            ("1e400s", None),
        ] {
            let wait = wait.map(Duration::from_millis);
            assert_eq!(parse(message).map(|(wait, _)| wait), wait, "{message}");
        }
    }
}
