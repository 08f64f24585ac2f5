use std::fmt;

use opentelemetry::TraceId;

use super::{Sink, guard::Guard};
use crate::event::{Emit, Event};

/// Hands every event to several sinks, in the order in which they were added.
///
/// Each is on its own: one that panics is detached, and the others go on.
///
/// ```
/// use codex_telemetry::{FanOut, MemorySink, TimingLayer};
///
/// let memory = MemorySink::new();
/// let sink = FanOut::new()
///     .with(memory.clone())
///     .with(|event: codex_telemetry::Event| println!("{}", event.name()));
/// let layer = TimingLayer::new(sink);
/// # let _ = layer;
/// ```
#[derive(Default)]
pub struct FanOut {
    sinks: Vec<Box<dyn Emit>>,
}

impl FanOut {
    /// Returns a fan-out to no sink, which is off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sink.
    #[must_use]
    pub fn with(mut self, sink: impl Sink + 'static) -> Self {
        self.sinks.push(Box::new(Guard::new(sink)));
        self
    }
}

impl Sink for FanOut {
    fn emit(&self, event: Event) {
        for sink in &self.sinks {
            sink.emit(event.clone());
        }
    }

    fn enabled(&self) -> bool {
        self.sinks.iter().any(|sink| sink.enabled())
    }

    /// A trace is sampled when any of the sinks wants it, and not when those that care do not.
    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool> {
        let sinks = self.sinks.iter().filter(|sink| sink.enabled());
        let opinions = sinks.filter_map(|sink| sink.sample(trace_id, parent_sampled));
        opinions.reduce(|any, wanted| any || wanted)
    }
}

impl fmt::Debug for FanOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOut")
            .field("sinks", &self.sinks.len())
            .finish()
    }
}
