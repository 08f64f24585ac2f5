//! The sinks and the timeline.

mod active_calls;
#[cfg(feature = "json")]
mod active_calls_json;
#[cfg(all(feature = "tracing", any(feature = "otlp", feature = "retry")))]
mod active_calls_warnings;
#[path = "../support/checked/mod.rs"]
mod checked;
mod fan_out;
mod interest;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "json")]
mod json_lines_equal;
#[cfg(feature = "json")]
mod json_writers;
mod kinds;
mod memory;
#[cfg(any(feature = "otlp", feature = "retry"))]
mod memory_wait_for;
mod sampling;
#[cfg(feature = "tracing")]
mod subscriber;
mod support;
mod timeline;
#[cfg(feature = "tracing")]
mod tracing_events;
