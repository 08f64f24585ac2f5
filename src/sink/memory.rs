use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use super::Sink;
use crate::{
    event::{Event, Operation, Outcome},
    timeline::Timeline,
};

/// A sink that keeps every event in memory, for tests.
///
/// Clones share the same events.
///
/// ```
/// use codex_telemetry::{Call, MemorySink, Operation, Outcome, TimingLayer};
/// use std::time::Duration;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sink = MemorySink::new();
/// let service = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<bool>| async move {
///     if call.request { Ok(()) } else { Err("sold out") }
/// }));
/// service.clone().oneshot(Call::new(Operation::Tool, true)).await?;
/// let _ = service.oneshot(Call::new(Operation::Tool, false)).await;
///
/// assert_eq!(sink.events().len(), 4);
/// assert_eq!(sink.find(Operation::Tool, Outcome::Error).len(), 1);
/// // For the message of an assertion.
/// assert!(!sink.timeline().is_empty(), "{}", sink.timeline());
///
/// // The next part of the test begins with an empty sink.
/// assert_eq!(sink.take().len(), 4);
/// assert!(sink.events().is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemorySink(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    captures_content: bool,
    events: Vec<Event>,
    wakers: Vec<Waker>,
}

/// The error of a wait that timed out before the sink held enough events.
///
/// Its message contains the timeline of the events that did arrive. `Debug` prints the same message,
/// because `unwrap` shows that one.
///
/// ```
/// use codex_telemetry::MemorySink;
/// use std::time::Duration;
///
/// let error = MemorySink::new().blocking_wait_for(2, Duration::ZERO).unwrap_err();
/// assert_eq!(error.to_string(), "timed out waiting for 2 events, got 0\n(no events)\n");
/// ```
#[derive(Clone)]
pub struct TooFewEvents {
    wanted: usize,
    events: Vec<Event>,
}

// === impl MemorySink ===

impl MemorySink {
    /// Returns an empty sink.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns an empty sink that captures content, which [`Event::content`] returns.
    ///
    /// ```
    /// use codex_telemetry::{Call, MemorySink, Operation, TimingLayer, event::names};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ()> {
    /// let (with, without) = (MemorySink::capturing_content(), MemorySink::new());
    /// for sink in [&with, &without] {
    ///     let service = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<()>| async move {
    ///         call.context.record_content(names::OUTPUT_MESSAGES, || "[]".to_owned());
    ///         Ok::<_, ()>(())
    ///     }));
    ///     service.oneshot(Call::new(Operation::Turn, ())).await?;
    /// }
    /// assert_eq!((with.events()[1].content().len(), without.events()[1].content().len()), (1, 0));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn capturing_content() -> Self {
        let sink = Self::new();
        sink.state().captures_content = true;
        sink
    }

    /// Returns the events received so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.state().events.clone()
    }

    /// Returns the events received so far and removes them from the sink.
    #[must_use = "the events are removed from the sink"]
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.state().events)
    }

    /// Returns the terminal events with this operation and outcome.
    #[must_use]
    pub fn find(&self, operation: Operation, outcome: Outcome) -> Vec<Event> {
        let state = self.state();
        let wanted =
            |event: &&Event| event.operation() == operation && event.outcome() == Some(outcome);
        state.events.iter().filter(wanted).cloned().collect()
    }

    /// Returns a timeline of the events received so far.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        Timeline::new(&self.events())
    }

    /// Waits until the sink holds at least `count` events, and returns all that it holds.
    ///
    /// Available with each feature that depends on tokio: `otlp`, `retry`, and the services, which
    /// imply `retry`. [`blocking_wait_for`](Self::blocking_wait_for) needs no feature.
    ///
    /// # Errors
    ///
    /// Returns [`TooFewEvents`] after the timeout `within`.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with time enabled, as [`tokio::time::timeout`] does.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the events stay in the sink.
    ///
    /// # Examples
    ///
    /// ```
    /// use codex_telemetry::{Call, MemorySink, Operation, TimingLayer};
    /// use std::time::Duration;
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), codex_telemetry::TooFewEvents> {
    /// let sink = MemorySink::new();
    /// let layer = TimingLayer::new(sink.clone());
    /// let service = layer.layer(service_fn(|_: Call<()>| async { Ok::<_, ()>(()) }));
    /// tokio::spawn(service.oneshot(Call::new(Operation::Custom("sync"), ())));
    ///
    /// let events = sink.wait_for(2, Duration::from_secs(60)).await?;
    /// assert_eq!(events[1].name(), "sync.stop");
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(any(feature = "otlp", feature = "retry"))]
    pub async fn wait_for(
        &self,
        count: usize,
        within: Duration,
    ) -> Result<Vec<Event>, TooFewEvents> {
        let events = std::future::poll_fn(|cx| self.poll_events(count, cx.waker()));
        let events = tokio::time::timeout(within, events).await;
        events.map_err(|_| self.too_few(count))
    }

    /// Blocks the thread until the sink holds at least `count` events, and returns all that it holds.
    ///
    /// # Errors
    ///
    /// Returns [`TooFewEvents`] after the timeout `within`.
    ///
    /// # Examples
    ///
    /// ```
    /// use codex_telemetry::{Call, MemorySink, Operation, TimingLayer};
    /// use std::{thread, time::Duration};
    /// use tower::{Layer, Service, service_fn};
    ///
    /// let sink = MemorySink::new();
    /// let layer = TimingLayer::new(sink.clone());
    /// let mut service = layer.layer(service_fn(|_: Call<()>| std::future::pending::<Result<(), ()>>()));
    /// let call = service.call(Call::new(Operation::Custom("sync"), ()));
    /// let other_thread = thread::spawn(move || drop(call));
    ///
    /// let events = sink.blocking_wait_for(2, Duration::from_secs(60))?;
    /// assert_eq!(events[1].name(), "sync.exception");
    /// # other_thread.join().unwrap();
    /// # Ok::<(), codex_telemetry::TooFewEvents>(())
    /// ```
    pub fn blocking_wait_for(
        &self,
        count: usize,
        within: Duration,
    ) -> Result<Vec<Event>, TooFewEvents> {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }

        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let started = Instant::now();
        loop {
            if let Poll::Ready(events) = self.poll_events(count, &waker) {
                return Ok(events);
            }
            match within.checked_sub(started.elapsed()) {
                Some(left) => thread::park_timeout(left),
                None => return Err(self.too_few(count)),
            }
        }
    }

    fn poll_events(&self, count: usize, waker: &Waker) -> Poll<Vec<Event>> {
        let mut state = self.state();
        if state.events.len() >= count {
            return Poll::Ready(state.events.clone());
        }
        if !state.wakers.iter().any(|other| other.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
        Poll::Pending
    }

    fn too_few(&self, wanted: usize) -> TooFewEvents {
        TooFewEvents {
            wanted,
            events: self.events(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for MemorySink {
    fn emit(&self, event: Event) {
        let mut state = self.state();
        state.events.push(event);
        let wakers = std::mem::take(&mut state.wakers);
        // A waker may run code that locks the sink.
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn captures_content(&self, _: bool) -> bool {
        self.state().captures_content
    }
}

impl fmt::Debug for MemorySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySink")
            .field("events", &self.state().events.len())
            .finish()
    }
}

// === impl TooFewEvents ===

impl fmt::Display for TooFewEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, events } = self;
        write!(
            f,
            "timed out waiting for {wanted} events, got {}\n{}",
            events.len(),
            Timeline::new(events)
        )
    }
}

impl fmt::Debug for TooFewEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for TooFewEvents {}
