use std::time::Duration;

use super::{fill::Fill, row::Row};
use crate::event::Phase;

/// Blocks that fill a column from the left, by eighths.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// The bar of a call in a text of some columns.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    /// The number of empty columns before the bar.
    pub(super) offset: usize,
    /// Stretches of one fill each.
    pub(super) parts: Vec<(Fill, String)>,
    /// The number of empty columns after the bar.
    pub(super) after: usize,
}

// === impl Bar ===

impl Bar {
    /// Returns the bar of a call, where the whole trace has `width` columns.
    ///
    /// It has at least an eighth of a column, so that every call is visible.
    pub(super) fn new(row: &Row, trace: Duration, width: usize) -> Self {
        let scale = Scale { trace, width };
        let offset = (scale.eighths(row.start) / 8).min(width - 1);
        // An open call reaches to the end of the picture, although a trace of no duration has none.
        let end = match row.duration {
            Some(_) => scale.eighths(row.end),
            None => width * 8,
        };
        let eighths = end.saturating_sub(offset * 8).max(1);
        let columns = eighths.div_ceil(8);
        let parts = if row.segments.is_empty() {
            let text = match row.fill {
                Fill::Open => Fill::Open.character().to_string().repeat(columns),
                _ => "█".repeat(eighths / 8) + EIGHTHS[eighths % 8],
            };
            vec![(row.fill, text)]
        } else {
            scale.phases(row, offset, columns)
        };
        Self {
            offset,
            parts,
            after: width - offset - columns,
        }
    }
}

/// A time on columns.
#[derive(Clone, Copy)]
struct Scale {
    trace: Duration,
    width: usize,
}

// === impl Scale ===

impl Scale {
    /// Returns `time` in eighths of a column, at most all of them.
    fn eighths(self, time: Duration) -> usize {
        let max = self.width * 8;
        let scaled = time.as_nanos().saturating_mul(max as u128);
        let eighths = scaled.checked_div(self.trace.as_nanos());
        eighths.map_or(0, |eighths| {
            usize::try_from(eighths).map_or(max, |e| e.min(max))
        })
    }

    /// Returns the stretches of a turn's bar. Each column shows the phase that most of its time went to: a phase that
    /// is shorter than a column may have none.
    fn phases(self, row: &Row, offset: usize, columns: usize) -> Vec<(Fill, String)> {
        let mut parts: Vec<(Fill, String)> = Vec::new();
        let mut segments = &row.segments[..];
        for column in offset..offset + columns {
            // In nanoseconds times the width, so that the borders of columns are exact.
            let width = self.width as u128;
            let from = self.trace.as_nanos().saturating_mul(column as u128);
            let to = from.saturating_add(self.trace.as_nanos());
            let is_over = |end: Duration| end.as_nanos().saturating_mul(width) <= from;
            while let [first, rest @ ..] = segments
                && !rest.is_empty()
                && is_over(first.end)
            {
                segments = rest;
            }
            let mut times = [0; Phase::ALL.len()];
            for segment in segments {
                let start = segment.start.as_nanos().saturating_mul(width);
                if start >= to {
                    break;
                }
                let end = segment.end.as_nanos().saturating_mul(width);
                times[segment.phase as usize] += end.min(to).saturating_sub(start.max(from));
            }
            let longest = Phase::ALL
                .iter()
                .max_by_key(|phase| times[**phase as usize]);
            let phase = match longest {
                Some(phase) if times[*phase as usize] > 0 => *phase,
                // The rest of a column that the bar only touches.
                _ => segments.first().map_or(Phase::Other, |it| it.phase),
            };
            let fill = Fill::Phase(phase);
            match parts.last_mut() {
                Some((last, text)) if *last == fill => text.push(fill.character()),
                _ => parts.push((fill, fill.character().to_string())),
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::{SpanId, TraceId};
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        event::Outcome,
        timeline::span::{End, PhaseTimes, Span},
    };

    const WIDTH: usize = 32;

    fn row(
        start: Duration,
        took: Option<Duration>,
        changes: Vec<(Duration, Phase)>,
        trace: Duration,
    ) -> Row {
        let time = std::time::UNIX_EPOCH;
        let end = took.map(|duration| End {
            time,
            duration,
            outcome: Outcome::Ok,
            class: None,
            phases: PhaseTimes {
                changes,
                ..PhaseTimes::default()
            },
        });
        let span = Span {
            trace_id: TraceId::INVALID,
            span_id: SpanId::INVALID,
            parent: None,
            operation: "codex.turn".into(),
            name: None,
            attempt: 1,
            thread: None,
            start: time,
            end,
        };
        Row::new(&span, 0, start, trace)
    }

    fn text(bar: &Bar) -> String {
        bar.parts.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn a_bar_has_at_least_an_eighth_and_stays_within_the_columns() {
        let times = [0, 1, 999, 1_000, 31_250, 999_999, 1_000_000].map(Duration::from_nanos);
        let durations = times
            .map(Some)
            .into_iter()
            .chain([None, Some(Duration::MAX)]);
        for trace in times.into_iter().chain([Duration::MAX]) {
            for start in times.into_iter().chain([Duration::MAX]) {
                for duration in durations.clone() {
                    for changes in [vec![], vec![(Duration::ZERO, Phase::Model)]] {
                        let bar = Bar::new(&row(start, duration, changes, trace), trace, WIDTH);
                        let columns = text(&bar).chars().count();
                        assert!(columns >= 1, "{bar:?}");
                        assert_eq!(bar.offset + columns + bar.after, WIDTH, "{bar:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_bar_ends_at_the_end_of_its_call_to_an_eighth_of_a_column() {
        let ms = Duration::from_millis;
        let text = |start, took| {
            let row = row(ms(start), Some(ms(took)), vec![], ms(320));
            text(&Bar::new(&row, ms(320), WIDTH))
        };
        assert_eq!(text(0, 320), "█".repeat(WIDTH));
        assert_eq!(text(0, 25), "██▌");
        assert_eq!(text(100, 25), "██▌");
        assert_eq!(text(105, 20), "██▌");
        assert_eq!(text(100, 0), "▏");
        assert_eq!(text(320, 0), "█");
    }

    #[test]
    fn a_column_shows_the_phase_that_most_of_its_time_went_to() {
        let ms = Duration::from_millis;
        let changes = vec![
            (ms(0), Phase::Wait),
            (ms(4), Phase::Startup),
            (ms(30), Phase::Model),
            (ms(52), Phase::Tools),
            (ms(53), Phase::Model),
            (ms(60), Phase::Approval),
        ];
        let row = row(ms(10), Some(ms(80)), changes, ms(320));
        assert_eq!(text(&Bar::new(&row, ms(320), WIDTH)), "▂▂▂▓▓▓??");
    }

    proptest! {
        #[test]
        fn no_changes_break_the_bar(
            changes in vec((0_u64..2_000, 0..Phase::ALL.len()), 0..300),
            start in 0_u64..500,
            took in 0_u64..1_500,
            width in 1_usize..200,
        ) {
            let ms = Duration::from_millis;
            let changes = changes.iter().map(|(at, i)| (ms(*at), Phase::ALL[*i])).collect();
            let trace = ms(1_500);
            let bar = Bar::new(&row(ms(start), Some(ms(took)), changes, trace), trace, width);
            prop_assert_eq!(bar.offset + text(&bar).chars().count() + bar.after, width);
        }
    }
}
