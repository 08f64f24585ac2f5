use std::time::Duration;

/// The wait in `try again in 1.5s`, `… in 20ms`, `… in 6m30s`, `… in 1 hour 30 minutes`; the text in lower
/// case.
pub(super) fn retry_after(text: &str) -> Option<Duration> {
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
    fn a_hint_when_to_try_again_is_read_in_any_unit() {
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
