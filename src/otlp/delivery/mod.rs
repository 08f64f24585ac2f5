//! The way of an event from its caller to the exporters: the queue, the export thread, and a pipeline for
//! each signal.

mod pipeline;
mod queue;
mod self_metrics;
mod shared;
mod stats;
mod undelivered;
pub(crate) mod worker;

pub(crate) use self::shared::Shared;
pub use self::{
    stats::{SignalStats, Stats},
    undelivered::Undelivered,
};
