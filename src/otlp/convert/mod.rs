//! What events become: spans, log records and measurements.

mod attributes;
pub(crate) mod instruments;
mod labels;
mod log;
mod metrics;
pub(crate) mod names;
mod processor;
mod span;

pub use self::processor::{Decision, RecordView};
pub(crate) use self::{
    log::{LogRecords, is_selected},
    metrics::{Metrics, active_delta, data_points},
    names::scope,
    processor::Processors,
    span::Spans,
};
