use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    thread,
};

use tokio::sync::Notify;

use super::shard::{Counts, DroppedCall, Shard, ShardLimits};
use crate::event::{Event, Operation};

/// The maximum number of shards, a power of two. More threads share them.
const MAX_SHARDS: usize = 8;
/// A queue below this capacity has one shard: a bound on memory matters more than contention.
const MIN_SHARDED_CAPACITY: usize = 1024;
/// A queue below this size has one shard, so that large events fit into each.
const MIN_SHARDED_BYTES: usize = 16 << 20;

/// A bounded queue of events, from any thread to the export thread.
///
/// Each thread pushes into a shard of its own, as long as there are enough shards, so the lock of a push is
/// rarely contended. If the shard is full, the event goes into another one. If all are full, the queue
/// drops the event and counts it.
pub(crate) struct Queue {
    shards: Box<[Shard]>,
    shard_limits: ShardLimits,
    /// A push has found all shards full since the last [`take`](Self::take). Further ones need not look.
    is_full: AtomicBool,
    /// The export thread [rests](Self::rest), so the next event wakes it.
    is_idle: AtomicBool,
    /// How often the queue was emptied.
    cuts: AtomicU64,
    /// The number of events that had no room in the shard of their thread.
    overflowed: AtomicU64,
    wake: Notify,
}

/// What the export thread takes out of the queue at one moment.
#[derive(Default)]
pub(crate) struct Cut {
    /// Those of each thread in their order.
    pub(crate) events: Vec<Event>,
    /// By how much dropped events would have changed the number of active calls.
    pub(crate) dropped_deltas: Vec<(Operation, i64)>,
    /// The dropped events of traces that are not sampled: when a trace is complete depends on them.
    pub(crate) dropped_calls: Vec<DroppedCall>,
    /// The events that the queue has dropped since its start.
    pub(crate) dropped: u64,
    /// Those that went into another shard, with their numbers.
    overflowed: Vec<(u64, Event)>,
    /// Empty vectors, whose capacity goes back to the shards.
    spare: Vec<Vec<Event>>,
}

// === impl Queue ===

impl Queue {
    /// Returns a queue of at most this many events, and of about this many bytes. It wakes the export
    /// thread when a shard has `wake_at` events.
    pub(crate) fn new(capacity: usize, bytes: usize, wake_at: usize) -> Self {
        let shards = match thread::available_parallelism() {
            Ok(threads) if capacity >= MIN_SHARDED_CAPACITY && bytes >= MIN_SHARDED_BYTES => {
                threads.get().next_power_of_two().min(MAX_SHARDS)
            }
            _ => 1,
        };
        Self::with_shards(shards, capacity, bytes, wake_at)
    }

    /// The number of shards is a power of two.
    fn with_shards(shards: usize, capacity: usize, bytes: usize, wake_at: usize) -> Self {
        let events = capacity.div_ceil(shards).max(1);
        Self {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            shard_limits: ShardLimits {
                events,
                bytes: bytes / shards,
                // Half full at the latest, so that the export thread has time to react.
                wake_at: wake_at.clamp(1, (events / 2).max(1)),
            },
            is_full: AtomicBool::new(false),
            is_idle: AtomicBool::new(false),
            cuts: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
            wake: Notify::new(),
        }
    }

    #[inline]
    pub(crate) fn push(&self, event: Event) {
        // Not the remainder, which takes longer than the rest of a push.
        let shard = current_thread_index() & (self.shards.len() - 1);
        self.push_into(shard, event);
    }

    #[inline]
    fn push_into(&self, home: usize, event: Event) {
        let size = event.estimated_size();
        let mut state = self.shards[home].lock();
        if state.is_closed || state.overflows || !state.has_room(self.shard_limits, size) {
            if state.is_closed || self.is_full.load(Relaxed) {
                state.drop_event(self.shard_limits, &event);
                return;
            }
            // Until it is emptied, so that the events of a thread stay in order.
            state.overflows = true;
            let cuts = self.cuts.load(Relaxed);
            drop(state);
            self.push_elsewhere(home, event, size, cuts);
            return;
        }
        let is_batch = state.accept(self.shard_limits, &event, size);
        state.events.push(event);
        drop(state);
        // Once for each batch: waking a thread is a system call.
        if is_batch || self.is_idle.load(Relaxed) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        self.is_idle.store(false, Relaxed);
        self.wake.notify_one();
    }

    /// Pushes into the next shard that has room, or drops the event. `cuts` is how often the queue had been
    /// emptied when the home shard had no room.
    #[cold]
    fn push_elsewhere(&self, home: usize, event: Event, size: usize, cuts: u64) {
        // The last one is the home shard, which may have room for a smaller event.
        for offset in 1..=self.shards.len() {
            let mut state = self.shards[(home + offset) % self.shards.len()].lock();
            if self.cuts.load(Relaxed) != cuts {
                drop(state);
                return self.push_into(home, event);
            }
            if !state.is_closed && state.has_room(self.shard_limits, size) {
                let is_batch = state.accept(self.shard_limits, &event, size);
                let number = self.overflowed.fetch_add(1, Relaxed);
                state.overflowed.push((number, event));
                drop(state);
                if is_batch {
                    self.wake();
                }
                return;
            }
            if offset == self.shards.len() {
                // A closed queue, or one without room for a large event, is not full.
                let is_full = state.len() == self.shard_limits.events;
                if is_full && !state.is_closed {
                    self.is_full.store(true, Relaxed);
                }
                state.drop_event(self.shard_limits, &event);
                return;
            }
        }
    }

    /// Closes the queue: it drops further events and counts them.
    pub(crate) fn close(&self) {
        for shard in &self.shards {
            shard.lock().is_closed = true;
        }
    }

    /// Moves all events of the queue into `cut`, whose own events must have been drained.
    ///
    /// All shards are taken at one moment. So if the end of a call is taken, its start has been taken, and so
    /// has what had ended before it.
    pub(crate) fn take(&self, cut: &mut Cut) {
        cut.spare.resize_with(self.shards.len(), Vec::new);
        cut.dropped_deltas.clear();
        cut.dropped_calls.clear();
        cut.dropped = 0;
        // In the order of the shards. A push holds one lock at a time, so this cannot deadlock.
        let mut states: Vec<_> = self.shards.iter().map(Shard::lock).collect();
        for (state, spare) in states.iter_mut().zip(&mut cut.spare) {
            std::mem::swap(&mut state.events, spare);
            state.bytes = 0;
            state.overflows = false;
            cut.overflowed.append(&mut state.overflowed);
            cut.dropped += state.dropped.events;
            cut.dropped_deltas.extend(state.dropped_deltas.drain());
            cut.dropped_calls.append(&mut state.dropped_calls);
        }
        self.is_full.store(false, Relaxed);
        self.cuts.fetch_add(1, Relaxed);
        drop(states);
        for spare in &mut cut.spare {
            cut.events.append(spare);
        }
        // A thread pushed these after its others, and in the order of their numbers.
        cut.overflowed.sort_unstable_by_key(|(number, _)| *number);
        let overflowed = cut.overflowed.drain(..);
        cut.events.extend(overflowed.map(|(_, event)| event));
    }

    /// Lets the next event wake the export thread, if there is none in the queue.
    pub(crate) fn rest(&self) {
        let states: Vec<_> = self.shards.iter().map(Shard::lock).collect();
        let is_idle = states.iter().all(|state| state.len() == 0);
        // Under the locks: each later push sees it.
        self.is_idle.store(is_idle, Relaxed);
    }

    /// Waits until a shard contains a batch, or an idle queue an event.
    pub(crate) async fn is_ready(&self) {
        self.wake.notified().await;
    }

    /// Returns whether the export thread rests, and nothing has come since.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_idle.load(Relaxed)
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

fn current_thread_index() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static INDEX: usize = NEXT.fetch_add(1, Relaxed);
    }
    INDEX.with(|index| *index)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tower::{Layer, Service, service_fn};

    use super::*;
    use crate::{Call, MemorySink, TimingLayer, otlp::convert::active_delta};

    const NO_LIMIT: usize = 1 << 40;

    /// Returns the two events of a call.
    fn events(operation: Operation) -> Vec<Event> {
        let sink = MemorySink::new();
        let pending = service_fn(|_: Call<()>| std::future::pending::<Result<(), ()>>());
        let mut service = TimingLayer::new(sink.clone()).layer(pending);
        drop(service.call(Call::new(operation, ())));
        sink.take()
    }

    fn sum(cut: &Cut) -> i64 {
        let dropped = cut.dropped_deltas.iter().map(|(_, delta)| delta);
        cut.events
            .iter()
            .map(active_delta)
            .chain(dropped.copied())
            .sum()
    }

    #[test]
    fn dropped_events_still_change_the_number_of_active_calls() {
        let queue = Queue::with_shards(1, 1, NO_LIMIT, 1);
        for operation in [Operation::Turn, Operation::Tool, Operation::Tool] {
            queue.push(events(operation).swap_remove(0));
        }
        let mut cut = Cut::default();
        queue.take(&mut cut);
        assert_eq!(cut.dropped_deltas, [(Operation::Tool, 2)]);
        assert_eq!((cut.events.len(), cut.dropped), (1, 2));
        cut.events.clear();
        for event in events(Operation::Tool) {
            queue.push(event);
        }
        queue.take(&mut cut);
        assert_eq!(cut.dropped_deltas, [(Operation::Tool, -1)]);
        queue.take(&mut cut);
        assert_eq!(cut.dropped_deltas, []);
    }

    #[test]
    fn an_event_goes_into_another_shard_before_it_is_dropped() {
        let queue = Queue::with_shards(4, 40, NO_LIMIT, 100);
        for event in (0..30).flat_map(|_| events(Operation::Tool)) {
            queue.push(event);
        }
        let mut cut = Cut::default();
        queue.take(&mut cut);
        assert_eq!((cut.events.len(), cut.dropped), (40, 20));
        cut.events.clear();
        queue.push(events(Operation::Tool).swap_remove(0));
        queue.take(&mut cut);
        assert_eq!((cut.events.len(), cut.dropped), (1, 20));
    }

    #[test]
    fn the_events_of_a_thread_stay_in_order_in_other_shards_whatever_their_times() {
        let queue = Queue::with_shards(4, 40, NO_LIMIT, 100);
        let mut calls: Vec<_> = (0..40).map(|_| events(Operation::Tool).remove(0)).collect();
        // As when the wall clock is set back.
        calls.reverse();
        let ids: Vec<_> = calls.iter().map(Event::span_id).collect();
        calls
            .into_iter()
            .for_each(|event| queue.push_into(3, event));
        let mut cut = Cut::default();
        queue.take(&mut cut);
        assert!(cut.events.iter().map(Event::span_id).eq(ids));
    }

    #[test]
    fn an_end_is_never_taken_before_its_start() {
        let queue = Queue::with_shards(2, 1 << 20, NO_LIMIT, 1 << 20);
        let calls: Vec<_> = (0..20_000).map(|_| events(Operation::Tool)).collect();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for call in calls {
                    for (shard, event) in call.into_iter().enumerate() {
                        queue.push_into(shard, event);
                    }
                }
                done.store(true, Relaxed);
            });
            let (mut cut, mut active) = (Cut::default(), 0);
            while !done.load(Relaxed) {
                queue.take(&mut cut);
                active += sum(&cut);
                assert!((0..=1).contains(&active), "{active} active calls");
                cut.events.clear();
            }
        });
    }

    #[test]
    fn an_idle_queue_is_ready_at_its_first_event_alone() {
        let queue = Queue::with_shards(2, 1000, NO_LIMIT, 1000);
        let mut cut = Cut::default();
        let mut ready_at = |count: usize| {
            let pushes = (0..count).map(|index| {
                queue.push_into(index % 2, events(Operation::Tool).swap_remove(0));
                queue.is_ready().now_or_never().is_some()
            });
            let ready = pushes.collect::<Vec<_>>();
            queue.take(&mut cut);
            cut.events.clear();
            ready
        };
        assert_eq!(ready_at(2), [false, false]);
        queue.rest();
        assert!(queue.is_idle());
        assert_eq!(ready_at(3), [true, false, false]);
        assert!(!queue.is_idle());
        queue.push(events(Operation::Tool).swap_remove(0));
        queue.rest();
        assert!(!queue.is_idle(), "there is an event");
    }

    #[test]
    fn the_queue_is_bounded_in_bytes() {
        let size = events(Operation::Tool)[0].estimated_size();
        let queue = Queue::with_shards(2, 1000, 10 * size, 1000);
        for _ in 0..30 {
            queue.push(events(Operation::Tool).swap_remove(0));
        }
        let mut cut = Cut::default();
        queue.take(&mut cut);
        assert_eq!((cut.events.len(), cut.dropped), (10, 20));
    }
}
