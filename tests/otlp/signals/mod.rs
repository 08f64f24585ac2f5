//! The spans, metrics and log records of calls, as a receiver decodes them.

mod approvals;
mod chats;
mod content;
mod custom_exporters;
mod limits;
mod logs;
mod metric_labels;
mod metric_stats;
mod metrics;
mod page;
mod parents;
mod phases;
mod processors;
mod resource;
mod sampling;
mod severity;
mod span_attributes;
mod span_endings;
pub(crate) mod support;
mod tail;
