//! What the sinks promise.

#[path = "../support/checked/mod.rs"]
mod checked;
mod fan_out;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "json")]
mod json_writers;
mod kinds;
mod memory;
#[cfg(feature = "services")]
mod memory_waits;
mod support;
mod timeline;
#[cfg(feature = "tracing")]
mod tracing_events;
