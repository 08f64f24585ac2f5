use std::{
    cell::Cell,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use tokio::sync::Notify;

use crate::event::{Event, Operation};

/// The most shards that a queue has; more threads than that share them.
const MOST_SHARDS: usize = 8;
/// A queue smaller than this is one shard: it is meant to be small, not quick.
const SMALLEST_SHARDED: usize = 1024;

/// A bounded queue of events, from any thread to the export thread.
///
/// Each thread pushes into a shard of its own as far as there are enough, and the export thread takes
/// a shard's events all at once; so a push takes a lock that nobody else wants, and no cache line
/// travels for it. A full shard drops what is pushed, and counts it.
pub(super) struct Queue {
    shards: Box<[Shard]>,
    /// How many events a shard holds at the most.
    capacity: usize,
    /// At how many events in a shard the export thread is woken before its time.
    wake_at: usize,
    wake: Notify,
}

/// On cache lines of its own.
#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<State>);

#[derive(Default)]
struct State {
    events: Vec<Event>,
    closed: bool,
    accepted: Tally,
    dropped: Tally,
    /// What the events that were dropped would have done to the number of calls under way, by
    /// operation: that number is a running sum, which one lost event would leave wrong for ever.
    unheard: Vec<(Operation, i64)>,
}

/// How many events, by what they mean for the signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// All of them: each is a log record, and each moves a metric.
    pub(super) events: u64,
    /// Those that end the call of a sampled trace: each is a span.
    pub(super) spans: u64,
}

impl Queue {
    pub(super) fn new(capacity: usize, wake_at: usize) -> Self {
        let shards = match thread::available_parallelism() {
            Ok(threads) if capacity >= SMALLEST_SHARDED => threads.get().min(MOST_SHARDS),
            _ => 1,
        };
        let capacity = capacity.div_ceil(shards).max(1);
        Self {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            capacity,
            // Long before it is full, so that the export thread has time to come.
            wake_at: wake_at.clamp(1, (capacity / 2).max(1)),
            wake: Notify::new(),
        }
    }

    #[inline]
    pub(super) fn push(&self, event: Event) {
        let mut state = self.shards[shard_of_this_thread() % self.shards.len()].lock();
        if state.closed || state.events.len() == self.capacity {
            state.miss(&event);
            return;
        }
        state.accepted.count(&event);
        state.events.push(event);
        let wake = state.events.len() == self.wake_at;
        drop(state);
        // Once a batch, not once an event: waking a thread is a system call.
        if wake {
            self.wake.notify_one();
        }
    }

    /// Takes no more events: those that come are dropped, and counted.
    pub(super) fn close(&self) {
        for shard in &self.shards {
            shard.lock().closed = true;
        }
    }

    /// Takes all events out, each shard's in the order in which they came. The vector's own room is
    /// left behind for the next ones. Returns by how much the calls under way, by operation, differ from
    /// what the events tell.
    pub(super) fn take(&self, into: &mut Vec<Event>) -> Vec<(Operation, i64)> {
        let mut unheard = Vec::new();
        for shard in &self.shards {
            let mut state = shard.lock();
            if into.is_empty() {
                std::mem::swap(into, &mut state.events);
            } else {
                into.append(&mut state.events);
            }
            unheard.append(&mut state.unheard);
        }
        unheard
    }

    /// Waits until a shard holds a batch.
    pub(super) async fn batch(&self) {
        self.wake.notified().await;
    }

    /// What was accepted and what was dropped, since the start.
    pub(super) fn tallies(&self) -> (Tally, Tally) {
        let mut sum = (Tally::default(), Tally::default());
        for shard in &self.shards {
            let state = shard.lock();
            sum.0.add(state.accepted);
            sum.1.add(state.dropped);
        }
        sum
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    #[cold]
    fn miss(&mut self, event: &Event) {
        self.dropped.count(event);
        let (operation, step) = (event.operation(), step(event));
        match self.unheard.iter_mut().find(|(of, _)| *of == operation) {
            Some((_, sum)) => *sum += step,
            None => self.unheard.push((operation, step)),
        }
    }
}

impl Tally {
    #[inline]
    fn count(&mut self, event: &Event) {
        self.events += 1;
        self.spans += u64::from(is_span(event));
    }

    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.spans += other.spans;
    }
}

/// Whether an event becomes a span: it ends its call, and the trace is sampled.
pub(super) fn is_span(event: &Event) -> bool {
    event.kind().is_terminal() && event.is_sampled()
}

/// What an event does to the number of calls under way.
pub(super) fn step(event: &Event) -> i64 {
    if event.kind().is_terminal() { -1 } else { 1 }
}

fn shard_of_this_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    MINE.with(|mine| {
        mine.get().unwrap_or_else(|| {
            let next = NEXT.fetch_add(1, Relaxed);
            mine.set(Some(next));
            next
        })
    })
}

#[cfg(test)]
mod tests {
    use tower::{Layer, Service, service_fn};

    use super::*;
    use crate::{Call, MemorySink, TimingLayer};

    /// The two events of a call.
    fn events(operation: Operation) -> Vec<Event> {
        let sink = MemorySink::new();
        let never = service_fn(|_: Call<()>| std::future::pending::<Result<(), ()>>());
        let mut service = TimingLayer::new(sink.clone()).layer(never);
        drop(service.call(Call::new(operation, ())));
        sink.take()
    }

    #[test]
    fn what_is_dropped_is_still_told_of_the_calls_under_way() {
        let queue = Queue::new(1, 1);
        for operation in [Operation::Turn, Operation::Tool, Operation::Tool] {
            queue.push(events(operation).swap_remove(0));
        }
        let mut heard = Vec::new();
        assert_eq!(queue.take(&mut heard), [(Operation::Tool, 2)]);
        assert_eq!(heard.len(), 1);
        heard.clear();
        for event in events(Operation::Tool) {
            queue.push(event);
        }
        assert_eq!(queue.take(&mut heard), [(Operation::Tool, -1)]);
        assert_eq!(queue.take(&mut heard), []);
    }
}
