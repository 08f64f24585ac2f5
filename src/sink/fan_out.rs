use std::{fmt, ops::BitOr};

use opentelemetry::TraceId;

use super::{CatchPanic, Sink};
use crate::event::{Emit, Event, Interest};

/// A sink that passes each event to several sinks, in the order in which they were added.
///
/// The sinks are independent: one that panics is detached, and the others still receive events.
/// It wants what any of its sinks wants, and passes each event to all of them.
///
/// ```
/// use codex_telemetry::{Call, Event, FanOut, MemorySink, Operation, TimingLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ()> {
/// let memory = MemorySink::new();
/// let sink = FanOut::new()
///     .with(|_: Event| panic!("a sink with a fault"))
///     .with(memory.clone());
/// let layer = TimingLayer::new(sink);
/// let service = layer.layer(service_fn(|_: Call<()>| async { Ok::<_, ()>(()) }));
/// service.oneshot(Call::new(Operation::Custom("sync"), ())).await?;
/// assert_eq!(memory.events().len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct FanOut {
    sinks: Vec<Box<dyn Emit>>,
}

impl FanOut {
    /// Returns a fan-out without sinks, which is disabled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sink.
    #[must_use]
    pub fn with(mut self, sink: impl Sink + 'static) -> Self {
        self.sinks.push(Box::new(CatchPanic::new(sink)));
        self
    }

    /// Returns the sinks that are on.
    fn enabled(&self) -> impl Iterator<Item = &dyn Emit> {
        let sinks = self.sinks.iter().map(|sink| &**sink);
        sinks.filter(|sink| !sink.interest().is_none())
    }
}

impl Sink for FanOut {
    fn emit(&self, event: Event) {
        for sink in &self.sinks {
            sink.emit(event.clone());
        }
    }

    fn emit_start(&self, event: &Event) {
        for sink in &self.sinks {
            sink.emit_start(event);
        }
    }

    /// Returns what any of the sinks wants.
    fn interest(&self) -> Interest {
        let interests = self.sinks.iter().map(|sink| sink.interest());
        interests.fold(Interest::NONE, BitOr::bitor)
    }

    /// Returns `Some(true)` if an enabled sink returns that, or else `Some(false)` if one returns that,
    /// or else `None`.
    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool> {
        let decisions = self
            .enabled()
            .filter_map(|sink| sink.sample(trace_id, parent_sampled));
        // `true` is greater than `false`.
        decisions.max()
    }

    /// Returns `true` if an enabled sink returns that. All sinks then receive events with content.
    fn captures_content(&self, is_sampled: bool) -> bool {
        self.enabled().any(|sink| sink.captures_content(is_sampled))
    }
}

impl fmt::Debug for FanOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOut")
            .field("sinks", &self.sinks.len())
            .finish()
    }
}
