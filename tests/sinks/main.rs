//! The sinks and the timeline.

#[path = "../support/checked/mod.rs"]
mod checked;
mod fan_out;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "json")]
mod json_writers;
mod kinds;
mod memory;
#[cfg(any(feature = "otlp", feature = "retry"))]
mod memory_wait_for;
mod sampling;
mod support;
mod timeline;
#[cfg(feature = "tracing")]
mod tracing_events;
