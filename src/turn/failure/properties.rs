//! Properties of any message.

use std::time::Duration;

use proptest::prelude::*;

use super::{cause, of_message};
use crate::event::ErrorClass;

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
        of_message(&format!("status {message}"));
        of_message(&format!("try again in {message}"));
    }

    #[test]
    fn numbers_that_are_no_times_are_no_hint(number in "[0-9.]{0,400}", unit in "[^a-z]?[a-z]{0,3}") {
        of_message(&format!("try again in {number}{unit}{number}{unit}"));
    }

    #[test]
    fn a_hint_is_read_from_whatever_stands_around_it(
        before in "[a-zA-Z ,.’]{0,20}",
        number in 0..100_000_u64,
        (unit, millis) in proptest::sample::select(UNITS),
        after in "([.,;) ][^0-9]{0,20})?",
    ) {
        let (_, wait) = of_message(&format!("{before} Try again in {number}{unit}{after}"));
        prop_assert_eq!(wait, Some(Duration::from_millis(number * millis)));
    }

    #[test]
    fn a_status_counts_wherever_it_stands(
        before in "[a-z ,.’]{0,20}",
        after in "( [a-z ]{0,20})?",
    ) {
        let (class, _) = of_message(&format!("{before} unexpected status 401{after}"));
        prop_assert_eq!(class, ErrorClass::Unauthorized);
    }

    #[test]
    fn the_cause_is_a_line_of_what_was_said(stderr in "([a-zE :]{0,8}\n?){0,6}") {
        if let Some(cause) = cause(&stderr) {
            prop_assert!(stderr.lines().any(|line| line == cause));
        }
    }
}
