use std::time::Duration;

/// The number of columns of a bar that spans the whole trace.
pub(super) const COLUMNS: usize = 32;

/// Blocks that fill a column from the left, by eighths.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// The bar of a call in its trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bar {
    /// The number of empty columns before the bar.
    pub(super) offset: usize,
    /// The length in eighths of a column. At least one, so that every call is visible.
    eighths: usize,
    open: bool,
}

impl Bar {
    /// Returns the bar of a call that began at `start`, in a trace of length `trace`.
    ///
    /// `duration` is `None` while the call is open; the bar then reaches to the end of the trace.
    pub(super) fn new(start: Duration, duration: Option<Duration>, trace: Duration) -> Self {
        let offset = (eighths(start, trace) / 8).min(COLUMNS - 1);
        let end = match duration {
            Some(duration) => eighths(start.saturating_add(duration), trace),
            None => COLUMNS * 8,
        };
        Self {
            offset,
            eighths: end.saturating_sub(offset * 8).max(1),
            open: duration.is_none(),
        }
    }

    /// Returns the number of columns of the bar, including a column that it fills in part.
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

/// Returns `time` in eighths of a column, at most all of them.
fn eighths(time: Duration, trace: Duration) -> usize {
    let max = COLUMNS * 8;
    let eighths = (time.as_nanos() * max as u128).checked_div(trace.as_nanos());
    eighths.map_or(0, |eighths| {
        usize::try_from(eighths).map_or(max, |e| e.min(max))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_at_least_an_eighth_and_stays_within_the_columns() {
        let times = [0, 1, 999, 1_000, 31_250, 999_999, 1_000_000].map(Duration::from_nanos);
        let durations = times
            .map(Some)
            .into_iter()
            .chain([None, Some(Duration::MAX)]);
        for trace in times {
            for start in times {
                for duration in durations.clone() {
                    let bar = Bar::new(start, duration, trace);
                    let columns = bar.text().chars().count();
                    assert_eq!(columns, bar.columns());
                    assert!(columns >= 1, "{bar:?}");
                    assert!(bar.offset + columns <= COLUMNS, "{bar:?}");
                }
            }
        }
    }

    #[test]
    fn a_bar_ends_at_the_end_of_its_call_to_an_eighth_of_a_column() {
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
