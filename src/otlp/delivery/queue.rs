use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use tokio::sync::Notify;

use crate::{
    event::{Event, Operation},
    otlp::{config::Signal, convert::active_delta},
};

/// The maximum number of shards. More threads share them.
const MAX_SHARDS: usize = 8;
/// A queue below this capacity has one shard: a bound on memory matters more than contention.
const MIN_SHARDED_CAPACITY: usize = 1024;

/// A bounded queue of events, from any thread to the export thread.
///
/// Each thread pushes into a shard of its own, as long as there are enough shards, and the export thread
/// takes all events of a shard at once. So the lock of a push is rarely contended. A full shard drops the
/// event and counts it.
pub(crate) struct Queue {
    shards: Box<[Shard]>,
    shard_capacity: usize,
    /// The number of events in a shard that wakes the export thread.
    wake_at: usize,
    wake: Notify,
}

/// A shard on cache lines of its own.
#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<State>);

#[derive(Default)]
struct State {
    events: Vec<Event>,
    is_closed: bool,
    accepted: Counts,
    dropped: Counts,
    /// By how much dropped events would have changed the number of active calls, by operation. That
    /// number is a running sum, so a lost event would make it wrong for ever.
    dropped_deltas: HashMap<Operation, i64>,
}

/// The numbers of events and of the spans among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    events: u64,
    spans: u64,
}

// === impl Queue ===

impl Queue {
    pub(crate) fn new(capacity: usize, wake_at: usize) -> Self {
        let shards = match thread::available_parallelism() {
            Ok(threads) if capacity >= MIN_SHARDED_CAPACITY => threads.get().min(MAX_SHARDS),
            _ => 1,
        };
        let shard_capacity = capacity.div_ceil(shards).max(1);
        Self {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            shard_capacity,
            // Half full at the latest, so that the export thread has time to react.
            wake_at: wake_at.clamp(1, (shard_capacity / 2).max(1)),
            wake: Notify::new(),
        }
    }

    #[inline]
    pub(crate) fn push(&self, event: Event) {
        let mut state = self.shards[current_thread_index() % self.shards.len()].lock();
        if state.is_closed || state.events.len() == self.shard_capacity {
            state.drop_event(&event);
            return;
        }
        state.accepted.add_event(&event);
        state.events.push(event);
        let wake = state.events.len() == self.wake_at;
        drop(state);
        // Once for each batch: waking a thread is a system call.
        if wake {
            self.wake.notify_one();
        }
    }

    /// Closes the queue: it drops further events and counts them.
    pub(crate) fn close(&self) {
        for shard in &self.shards {
            shard.lock().is_closed = true;
        }
    }

    /// Moves all events into `events`, those of each shard in their order. Leaves the capacity of the
    /// vector to the queue. Returns by how much dropped events would have changed the number of active
    /// calls.
    pub(crate) fn take(&self, events: &mut Vec<Event>) -> Vec<(Operation, i64)> {
        let mut deltas = Vec::new();
        for shard in &self.shards {
            let mut state = shard.lock();
            if events.is_empty() {
                std::mem::swap(events, &mut state.events);
            } else {
                events.append(&mut state.events);
            }
            deltas.extend(state.dropped_deltas.drain());
        }
        deltas
    }

    /// Waits until a shard contains a batch.
    pub(crate) async fn batch_ready(&self) {
        self.wake.notified().await;
    }

    /// Returns the numbers of accepted and of dropped events.
    pub(crate) fn counts(&self) -> (Counts, Counts) {
        let (mut accepted, mut dropped) = (Counts::default(), Counts::default());
        for shard in &self.shards {
            let state = shard.lock();
            accepted.add(state.accepted);
            dropped.add(state.dropped);
        }
        (accepted, dropped)
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    #[cold]
    fn drop_event(&mut self, event: &Event) {
        self.dropped.add_event(event);
        let sum = self.dropped_deltas.entry(event.operation()).or_default();
        *sum += active_delta(event);
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

    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.spans += other.spans;
    }
}

/// Returns whether an event becomes a span: it ends its call, and the trace is sampled.
pub(crate) fn is_span(event: &Event) -> bool {
    event.kind().is_terminal() && event.is_sampled()
}

fn current_thread_index() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static INDEX: usize = NEXT.fetch_add(1, Relaxed);
    }
    INDEX.with(|index| *index)
}

#[cfg(test)]
mod tests {
    use tower::{Layer, Service, service_fn};

    use super::*;
    use crate::{Call, MemorySink, TimingLayer};

    /// Returns the two events of a call.
    fn events(operation: Operation) -> Vec<Event> {
        let sink = MemorySink::new();
        let pending = service_fn(|_: Call<()>| std::future::pending::<Result<(), ()>>());
        let mut service = TimingLayer::new(sink.clone()).layer(pending);
        drop(service.call(Call::new(operation, ())));
        sink.take()
    }

    #[test]
    fn dropped_events_still_change_the_number_of_active_calls() {
        let queue = Queue::new(1, 1);
        for operation in [Operation::Turn, Operation::Tool, Operation::Tool] {
            queue.push(events(operation).swap_remove(0));
        }
        let mut taken = Vec::new();
        assert_eq!(queue.take(&mut taken), [(Operation::Tool, 2)]);
        assert_eq!(taken.len(), 1);
        taken.clear();
        for event in events(Operation::Tool) {
            queue.push(event);
        }
        assert_eq!(queue.take(&mut taken), [(Operation::Tool, -1)]);
        assert_eq!(queue.take(&mut taken), []);
    }
}
