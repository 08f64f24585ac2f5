//! Properties that hold for any message.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    cause, of_message, of_rejection, of_retry, of_server_exit, of_tool, of_turn,
    tables::{INFOS, REJECTIONS, STARTUP_FRAGMENTS, VAGUE_INFOS},
};
use crate::{event::ErrorClass, turn::CodexErrorInfo};

/// The beginning of a message whose class has a wait.
const RATE_LIMIT: &str = "rate limit exceeded: ";

const UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    (" seconds", 1_000),
    ("m", 60_000),
    (" minutes", 60_000),
    (" hours", 3_600_000),
    (" days", 86_400_000),
];

/// Any kind of an error, known ones and odd ones.
fn info() -> impl Strategy<Value = CodexErrorInfo> {
    let known = INFOS.iter().chain(VAGUE_INFOS).map(|(kind, _)| *kind);
    let known = proptest::sample::select(known.chain(["other"]).collect::<Vec<_>>());
    let kind = prop_oneof![known.prop_map(str::to_owned), any::<String>()];
    (kind, any::<Option<u16>>()).prop_map(|(kind, status)| {
        let info = CodexErrorInfo::new(kind);
        match status {
            Some(status) => info.with_http_status(status),
            None => info,
        }
    })
}

/// A text of others: no text of Codex has its beginning.
fn others() -> impl Strategy<Value = String> {
    "[x-z]{6}[a-z \"’.:,{}`]{0,40}"
}

proptest! {
    #[test]
    fn any_kind_of_an_error_with_any_message_has_a_class(info in info(), message in any::<String>()) {
        let failure = of_turn(&message, Some(&info));
        prop_assert!(!failure.recorded.is_empty());
        let rejected = of_rejection(info.http_status.unwrap_or_default().into(), &message);
        prop_assert!(rejected.recorded.len() <= message.len() + 4);
        of_tool(&message);
        prop_assert_eq!(of_server_exit(&message).class, ErrorClass::Transport);
    }

    #[test]
    fn no_text_of_others_is_recorded_with_a_kind(info in info(), others in others()) {
        prop_assume!(!info.kind.contains(&others[..6]));
        for opening in ["", "{", "unexpected status 401 ", "stream disconnected before completion: "] {
            let message = format!("{opening}{others}");
            let recorded = of_turn(&message, Some(&info)).recorded;
            prop_assert!(!recorded.contains(&others[..6]), "{message}: {recorded}");
        }
        let spaced = CodexErrorInfo::new(format!("{others} {}", info.kind));
        let recorded = of_turn("", Some(&spaced)).recorded;
        prop_assert_eq!(recorded, "Codex reported no reason");
    }

    #[test]
    fn no_text_of_others_is_recorded_of_a_rejection(code in any::<i64>(), others in others()) {
        let openings = REJECTIONS.iter().map(|(opening, _)| *opening);
        for opening in openings.chain(["", "thread "]) {
            let message = format!("{opening}: {others} already has an active writer");
            let recorded = of_rejection(code, &message).recorded;
            prop_assert!(!recorded.contains(&others[..6]), "{message}: {recorded}");
        }
    }

    #[test]
    fn no_text_of_others_is_recorded_of_a_server(others in others(), error in "(Error: |error: )?") {
        for (fragment, _) in STARTUP_FRAGMENTS {
            let stderr = format!("{others}\n{error}{others} {fragment}{others}");
            let recorded = of_server_exit(&stderr).recorded;
            prop_assert!(!recorded.contains(&others[..6]), "{stderr}: {recorded}");
        }
    }

    #[test]
    fn any_message_has_a_class(message in any::<String>()) {
        of_message(&message);
        of_message(&format!("unexpected status {message}"));
        of_message(&format!("{RATE_LIMIT}{message}"));
        of_message(&format!("{{\"error\":{message}}}"));
    }

    #[test]
    fn an_invalid_duration_does_not_panic(number in "[0-9.]{0,400}", unit in "[^a-z]?[a-z]{0,3}") {
        of_message(&format!("{RATE_LIMIT}try again in {number}{unit}{number}{unit}"));
    }

    #[test]
    fn a_wait_is_found_before_any_text_and_not_behind_it(
        before in "[a-zA-Z ,.’]{1,20}",
        number in 0..100_000_u64,
        (unit, millis) in proptest::sample::select(UNITS),
        after in "([.,;) ][^0-9]{0,20})?",
    ) {
        let hint = format!("Try again in {number}{unit}{after}");
        let wait = of_message(&format!("{RATE_LIMIT}{hint}")).retry_after;
        prop_assert_eq!(wait, Some(Duration::from_millis(number * millis)));
        let repeated = format!("{RATE_LIMIT}x{before} {hint}");
        prop_assert_eq!(of_message(&repeated).retry_after, None);
    }

    #[test]
    fn a_status_counts_at_the_beginning_of_a_message_only(
        before in "[a-zA-Z ,.’]{0,20}",
        after in "( [a-z ]{0,20})?",
    ) {
        let message = format!("unexpected status 401{after}");
        prop_assert_eq!(of_message(&message).class, ErrorClass::Unauthorized);
        let repeated = format!("x{before} {message}");
        prop_assert_eq!(of_message(&repeated).class, ErrorClass::Other);
    }

    #[test]
    fn what_is_recorded_is_no_text_of_others(
        others in "[x-z]{6}[a-z \"’.:,{}`]{0,40}",
        quote in "[\"`]?",
    ) {
        for opening in [
            "",
            "{",
            "unexpected status 401 ",
            "rate limit exceeded: ",
            "rate limit exceeded: rate limit reached for ",
            "Missing environment variable: `a ",
            "Incomplete response returned, reason: ",
            "stream disconnected before completion: ",
        ] {
            let message = format!("{opening}{quote}{others}");
            let recorded = of_message(&message).recorded;
            prop_assert!(!recorded.contains(&others[..6]), "{message}: {recorded}");
            let retry = of_retry(&format!("Reconnecting... 1/5 ({message})"));
            prop_assert!(!retry.contains(&others[..6]), "{message}: {retry}");
        }
    }

    #[test]
    fn the_cause_is_a_part_of_standard_error(stderr in "(Error|note: |[a-z:` ]{0,8}|\n){0,12}") {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(cause) = cause(&stderr) {
            prop_assert!(words(&stderr).contains(&words(&cause)), "{cause:?}");
        }
    }
}
