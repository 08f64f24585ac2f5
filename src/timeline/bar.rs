use std::time::Duration;

/// How many columns the longest bar has.
pub(super) const COLUMNS: usize = 32;

/// The blocks that fill a column from the left, by eighths; the one for none is never printed.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// Where a call was within its trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bar {
    /// The empty columns before it.
    pub(super) before: usize,
    /// Its length in eighths of a column, at least one: a call that was too short to see still was.
    eighths: usize,
    open: bool,
}

impl Bar {
    /// The bar of a call that began at `start`, in a trace of `length`; `duration` is `None` while it
    /// is open, and the bar then goes to the end.
    pub(super) fn new(start: Duration, duration: Option<Duration>, length: Duration) -> Self {
        let before = (eighths(start, length) / 8).min(COLUMNS - 1);
        let until = duration.map_or(COLUMNS * 8, |time| {
            eighths(start.saturating_add(time), length)
        });
        Self {
            before,
            eighths: until.saturating_sub(before * 8).max(1),
            open: duration.is_none(),
        }
    }

    /// How many columns it touches.
    pub(super) fn columns(self) -> usize {
        self.eighths.div_ceil(8)
    }

    pub(super) fn text(self) -> String {
        if self.open {
            "░".repeat(self.columns())
        } else {
            "█".repeat(self.eighths / 8) + EIGHTHS[self.eighths % 8]
        }
    }
}

/// How many eighths of a column `time` takes.
fn eighths(time: Duration, length: Duration) -> usize {
    let most = COLUMNS * 8;
    let eighths = (time.as_nanos() * most as u128).checked_div(length.as_nanos());
    eighths
        .and_then(|eighths| usize::try_from(eighths).ok())
        .map_or(0, |eighths| eighths.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_at_least_an_eighth_and_stays_within_the_columns() {
        let times = [0, 1, 999, 1_000, 31_250, 999_999, 1_000_000].map(Duration::from_nanos);
        for length in times {
            for start in times {
                for duration in times
                    .map(Some)
                    .into_iter()
                    .chain([None, Some(Duration::MAX)])
                {
                    let bar = Bar::new(start, duration, length);
                    let shown = bar.text().chars().count();
                    assert_eq!(shown, bar.columns());
                    assert!(shown >= 1, "{bar:?}");
                    assert!(bar.before + shown <= COLUMNS, "{bar:?}");
                }
            }
        }
    }

    #[test]
    fn a_bar_ends_where_its_call_did_to_an_eighth_of_a_column() {
        let ms = Duration::from_millis;
        let text = |start, time| Bar::new(ms(start), Some(ms(time)), ms(320)).text();
        assert_eq!(text(0, 320), "█".repeat(COLUMNS));
        assert_eq!(text(0, 25), "██▌");
        assert_eq!(text(100, 25), "██▌");
        assert_eq!(text(105, 20), "██▌");
        assert_eq!(text(100, 0), "▏");
        assert_eq!(text(320, 0), "█");
    }
}
