//! The spans, metrics and log records of calls, as a receiver decodes them.

mod content;
mod custom_exporters;
mod logs;
mod metric_labels;
mod metric_stats;
mod metrics;
mod parents;
mod sampling;
mod span_attributes;
mod span_endings;
pub(crate) mod support;
mod tail;
