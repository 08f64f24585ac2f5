//! What events become: spans, log records and measurements.

pub(crate) mod instruments;
mod labels;
mod log;
mod metrics;
pub(crate) mod names;
mod span;

pub(crate) use self::{
    log::{LogRecords, is_selected},
    metrics::{Metrics, active_delta, data_points},
    span::Spans,
};
