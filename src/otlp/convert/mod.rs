//! What events become: spans, log records and measurements.

mod log;
mod metrics;
pub(crate) mod names;
mod span;

pub(crate) use self::{
    log::{LogRecords, is_selected},
    metrics::{Metrics, active_delta},
    span::Spans,
};
