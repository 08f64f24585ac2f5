//! The stats add up, whatever the exporters do, and with many threads.

mod flush;
mod interest;
#[cfg(feature = "json")]
mod json;
mod metrics;
mod panics;
mod queue;
mod schedule;
mod threads;
