use std::time::Duration;

use super::{
    fill::Fill,
    label::Label,
    legend::Legend,
    span::{PhaseTimes, Span},
};
use crate::event::{Outcome, Phase, Phases, millis};

/// A call in the layout of its trace. Its times are since the start of the trace.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) label: Label,
    pub(super) start: Duration,
    pub(super) end: Duration,
    /// `None` while the call is open.
    pub(super) duration: Option<Duration>,
    /// The fill of the whole bar, if there are no segments, and the colour of the result.
    pub(super) fill: Fill,
    /// Adjacent stretches from the start to the end. Empty if no phases are known.
    pub(super) segments: Vec<Segment>,
    /// The text after the bar.
    pub(super) result: String,
    pub(super) legend: Option<Legend>,
}

/// A stretch of a turn's bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Segment {
    pub(super) phase: Phase,
    pub(super) start: Duration,
    pub(super) end: Duration,
}

// === impl Row ===

impl Row {
    /// Returns the row of a call that began at `start`, in a trace that ends at `trace_end`.
    pub(super) fn new(span: &Span, depth: usize, start: Duration, trace_end: Duration) -> Self {
        let label = Label::new(span, depth);
        let Some(call_end) = &span.end else {
            return Self {
                label,
                start,
                end: trace_end,
                duration: None,
                fill: Fill::Open,
                segments: Vec::new(),
                result: "(open)".to_owned(),
                legend: None,
            };
        };
        let end = start.saturating_add(call_end.duration);
        let mut result = match &call_end.class {
            Some(class) => class.clone().into_owned(),
            None => call_end.outcome.as_str().to_owned(),
        };
        if call_end.outcome != Outcome::Ok
            && let Some(phase) = call_end.phases.last
        {
            result = format!("{result} ({phase})");
        }
        Self {
            label,
            start,
            end,
            duration: Some(call_end.duration),
            fill: Fill::Ended(call_end.outcome),
            segments: segments(&call_end.phases, start, end),
            result,
            legend: Legend::new(&call_end.phases.durations),
        }
    }

    /// Returns an empty string while the call is open.
    pub(super) fn duration_text(&self) -> String {
        self.duration.map(millis_text).unwrap_or_default()
    }
}

/// Returns the stretches of a turn from `start` to `end`.
fn segments(phases: &PhaseTimes, start: Duration, end: Duration) -> Vec<Segment> {
    let mut changes = phases.changes.clone();
    // A line that somebody else wrote may have more, in any order.
    changes.sort_by_key(|(at, _)| *at);
    changes.truncate(Phases::MAX_CHANGES);
    let mut segments: Vec<Segment> = Vec::with_capacity(changes.len());
    for (index, (at, phase)) in changes.into_iter().enumerate() {
        let at = if index == 0 {
            start
        } else {
            start.saturating_add(at).min(end)
        };
        if let Some(last) = segments.last_mut() {
            last.end = at;
        }
        segments.push(Segment {
            phase,
            start: at,
            end,
        });
    }
    segments.retain(|segment| segment.start < segment.end);
    segments
}

pub(super) fn millis_text(duration: Duration) -> String {
    format!("{:.3} ms", millis(duration))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn segments_are_adjacent_and_fill_the_bar_whatever_the_changes_are(
            changes in vec((0_u64..2_000, 0..Phase::ALL.len()), 0..400),
            start in 0_u64..100,
            took in 0_u64..1_500,
        ) {
            let ms = Duration::from_millis;
            let changes: Vec<_> = changes.iter().map(|(at, i)| (ms(*at), Phase::ALL[*i])).collect();
            let is_empty = changes.is_empty() || took == 0;
            let phases = PhaseTimes { changes, ..PhaseTimes::default() };
            let (start, end) = (ms(start), ms(start + took));
            let segments = segments(&phases, start, end);
            prop_assert_eq!(segments.is_empty(), is_empty);
            let mut at = start;
            for segment in &segments {
                prop_assert_eq!(segment.start, at);
                prop_assert!(segment.end > at);
                at = segment.end;
            }
            prop_assert!(is_empty || at == end);
        }
    }
}
