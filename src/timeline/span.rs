use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use opentelemetry::{SpanId, TraceId};

use super::columns::printable;
use crate::event::{ErrorClass, Event, Outcome, Phase, Phases};

/// The most characters that are kept of a text that somebody else chose.
const MAX_CHARS: usize = 200;

/// What one event, or one JSON line, tells of a call.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent: Option<SpanId>,
    /// The name of the operation, such as `codex.turn`.
    pub(super) operation: Cow<'static, str>,
    pub(super) name: Option<String>,
    pub(super) attempt: u32,
    pub(super) thread: Option<String>,
    pub(super) start: SystemTime,
    /// `None` while the call is open.
    pub(super) end: Option<End>,
}

/// The end of a call.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// By the wall clock.
    pub(super) time: SystemTime,
    /// By the monotonic clock.
    pub(super) duration: Duration,
    pub(super) outcome: Outcome,
    /// The name of the error's class.
    pub(super) class: Option<Cow<'static, str>>,
    pub(super) phases: PhaseTimes,
}

/// The phases of a turn, as far as they are known.
#[derive(Clone, Debug, Default)]
pub(super) struct PhaseTimes {
    /// By the order of [`Phase::ALL`]. `None` for a phase that cannot be told.
    pub(super) durations: [Option<Duration>; Phase::ALL.len()],
    /// When the turn entered each phase, since its start.
    pub(super) changes: Vec<(Duration, Phase)>,
    pub(super) last: Option<Phase>,
}

// === impl Span ===

impl Span {
    pub(super) fn from_event(event: &Event) -> Self {
        let end = event.outcome().map(|outcome| End {
            time: event.time(),
            duration: event.duration().unwrap_or_default(),
            outcome,
            class: event.error_class().map(|class| class.as_str().into()),
            phases: event.phases().map(PhaseTimes::from).unwrap_or_default(),
        });
        Self {
            trace_id: event.trace_id(),
            span_id: event.span_id(),
            parent: event.parent_span_id(),
            operation: event.operation().as_str().into(),
            name: event.call_name().map(kept),
            attempt: event.attempt(),
            thread: event.thread_id().map(str::to_owned),
            start: event.start_time(),
            end,
        }
    }

    /// Returns whether the call ended with an error of this class.
    pub(super) fn has_class(&self, class: ErrorClass) -> bool {
        let ended = self.end.as_ref().and_then(|end| end.class.as_deref());
        ended == Some(class.as_str())
    }

    /// Returns when the call ended; if it is open, when it started.
    pub(super) fn end_time(&self) -> SystemTime {
        let Some(end) = &self.end else {
            return self.start;
        };
        let by_duration = self.start.checked_add(end.duration).unwrap_or(self.start);
        // The wall clock also counts the time while the machine was suspended. Of a JSON line it has whole microseconds.
        match end.time.duration_since(by_duration) {
            Ok(later) if later > Duration::from_micros(1) => end.time,
            _ => by_duration,
        }
    }
}

// === impl PhaseTimes ===

impl From<&Phases> for PhaseTimes {
    fn from(phases: &Phases) -> Self {
        let mut durations = [None; Phase::ALL.len()];
        for (phase, duration) in phases.iter() {
            durations[phase as usize] = Some(duration);
        }
        Self {
            durations,
            changes: phases.changes().to_vec(),
            last: phases.last(),
        }
    }
}

/// Returns what is kept of a text that somebody else chose.
pub(super) fn kept(text: &str) -> String {
    printable(text, MAX_CHARS)
}
