//! Decoded records. Each has a copy of its resource and scope.

mod log;
mod metric;
mod origin;
mod span;
mod value;

pub(crate) use self::{
    log::LogRecord,
    metric::{ExponentialHistogram, Histogram, Metric, MetricKind, Number, Point},
    origin::Origin,
    span::{Event, Span},
    value::{Attributes, Value},
};
pub(super) use self::{log::log_records, metric::metrics, span::spans};
