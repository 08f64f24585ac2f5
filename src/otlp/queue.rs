use std::{
    cell::Cell,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use tokio::sync::Notify;

use crate::event::Event;

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
            state.dropped.count(&event);
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
    /// left behind for the next ones.
    pub(super) fn take(&self, into: &mut Vec<Event>) {
        for shard in &self.shards {
            let mut state = shard.lock();
            if into.is_empty() {
                std::mem::swap(into, &mut state.events);
            } else {
                into.append(&mut state.events);
            }
        }
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
