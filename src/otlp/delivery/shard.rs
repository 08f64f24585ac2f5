use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use opentelemetry::TraceId;

use crate::{
    event::{Event, Operation, Outcome},
    otlp::{config::Signal, convert::active_delta},
};

/// The limits of each shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShardLimits {
    pub(super) events: usize,
    pub(super) bytes: usize,
    /// The number of events that wakes the export thread.
    pub(super) wake_at: usize,
}

/// A shard on cache lines of its own.
#[repr(align(128))]
#[derive(Default)]
pub(super) struct Shard(Mutex<State>);

#[derive(Default)]
pub(super) struct State {
    pub(super) events: Vec<Event>,
    /// Those of threads whose shard had no room, with their number among all such events of the queue.
    pub(super) overflowed: Vec<(u64, Event)>,
    /// The estimated size of the events.
    pub(super) bytes: usize,
    /// An event of a thread of this shard went elsewhere, and so do the next ones.
    pub(super) overflows: bool,
    pub(super) is_closed: bool,
    pub(super) accepted: Counts,
    pub(super) dropped: Counts,
    /// By how much dropped events would have changed the number of active calls, by operation. That
    /// number is a running sum, so a lost event would make it wrong for ever.
    pub(super) dropped_deltas: HashMap<Operation, i64>,
    /// The dropped events of traces that are not sampled; at most as many as the shard has room for.
    pub(super) dropped_calls: Vec<DroppedCall>,
}

/// The trace of a dropped event, and the outcome of its call; `None` for a start event.
pub(crate) type DroppedCall = (TraceId, Option<Outcome>);

/// The numbers of events and of the spans among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(super) events: u64,
    spans: u64,
}

// === impl Shard ===

impl Shard {
    #[inline]
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    #[inline]
    pub(super) fn has_room(&self, limits: ShardLimits, size: usize) -> bool {
        // An empty shard takes any event: what a call keeps is bounded.
        let has_bytes = self.bytes + size <= limits.bytes || self.len() == 0;
        has_bytes && self.len() < limits.events
    }

    /// Counts an event that is then added, and for which there is room. Returns whether to wake the export
    /// thread.
    #[inline]
    pub(super) fn accept(&mut self, limits: ShardLimits, event: &Event, size: usize) -> bool {
        self.accepted.add_event(event);
        let before = self.bytes;
        self.bytes += size;
        let half = limits.bytes / 2;
        self.len() + 1 == limits.wake_at || (before < half && self.bytes >= half)
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.events.len() + self.overflowed.len()
    }

    #[cold]
    pub(super) fn drop_event(&mut self, limits: ShardLimits, event: &Event) {
        self.dropped.add_event(event);
        let sum = self.dropped_deltas.entry(event.operation()).or_default();
        *sum += active_delta(event);
        if !event.is_sampled() && self.dropped_calls.len() < limits.events {
            self.dropped_calls.push((event.trace_id(), event.outcome()));
        }
    }
}

// === impl Counts ===

impl Counts {
    /// Returns the number of records of a signal. Each event is a log record and a measurement.
    pub(crate) fn of(self, signal: Signal) -> u64 {
        match signal {
            Signal::Traces => self.spans,
            Signal::Metrics | Signal::Logs => self.events,
        }
    }

    #[inline]
    fn add_event(&mut self, event: &Event) {
        self.events += 1;
        self.spans += u64::from(is_span(event));
    }

    pub(super) fn add(&mut self, other: Self) {
        self.events += other.events;
        self.spans += other.spans;
    }
}

/// Returns whether an event becomes a span: it ends its call, and the trace is sampled.
pub(crate) fn is_span(event: &Event) -> bool {
    event.kind().is_terminal() && event.is_sampled()
}
