//! The way of an event from its caller to the exporters: the queue, the export thread, and a pipeline for
//! each signal.

mod backoff;
mod batches;
mod buffer;
mod handle;
mod health;
mod pipeline;
mod queue;
mod recent;
mod request;
mod schedule;
mod self_metrics;
mod shard;
mod shared;
mod signals;
mod stats;
mod tail;
#[cfg(test)]
mod testing;
mod timer;
mod totals;
mod undelivered;
pub(crate) mod worker;

pub(crate) use self::{handle::Handle, request::Purpose, shared::Shared};
pub use self::{
    stats::{SignalStats, Stats},
    undelivered::Undelivered,
};
