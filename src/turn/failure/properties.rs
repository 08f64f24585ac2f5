//! Properties that hold for any message.

use std::time::Duration;

use proptest::prelude::*;

use super::{cause, of_message};
use crate::event::ErrorClass;

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

proptest! {
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
    fn a_wait_is_found_between_any_text(
        before in "[a-zA-Z ,.’]{0,20}",
        number in 0..100_000_u64,
        (unit, millis) in proptest::sample::select(UNITS),
        after in "([.,;) ][^0-9]{0,20})?",
    ) {
        let (_, wait) = of_message(&format!("{RATE_LIMIT}{before} Try again in {number}{unit}{after}"));
        prop_assert_eq!(wait, Some(Duration::from_millis(number * millis)));
    }

    #[test]
    fn a_status_counts_at_the_beginning_of_a_message_only(
        before in "[a-zA-Z ,.’]{0,20}",
        after in "( [a-z ]{0,20})?",
    ) {
        let message = format!("unexpected status 401{after}");
        prop_assert_eq!(of_message(&message).0, ErrorClass::Unauthorized);
        let repeated = format!("x{before} {message}");
        prop_assert_eq!(of_message(&repeated).0, ErrorClass::Other);
    }

    #[test]
    fn the_cause_is_a_part_of_standard_error(stderr in "(Error|note: |[a-z:` ]{0,8}|\n){0,12}") {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(cause) = cause(&stderr) {
            prop_assert!(words(&stderr).contains(&words(&cause)), "{cause:?}");
        }
    }
}
