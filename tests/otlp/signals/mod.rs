//! What calls become: spans, metrics and log records, as a receiver decodes them.

mod logs;
mod metric_books;
mod metric_labels;
mod metrics;
mod own_exporters;
mod parents;
mod sampling;
mod span_attributes;
mod span_endings;
pub(crate) mod support;
