//! The books add up, whatever the exporters do and however many ask.

mod flush;
mod metrics;
mod panics;
mod queue;
mod threads;
