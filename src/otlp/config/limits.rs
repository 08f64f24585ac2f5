use std::time::Duration;

use super::Signal;

/// The limits of the queue and of the exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The limits of spans.
    pub spans: BatchLimits,
    /// The limits of log records.
    pub logs: BatchLimits,
    /// The maximum number of events of a span. The span says how many it does not have.
    pub span_events: usize,
    /// The maximum size of the events that wait for their export, in bytes. It is estimated.
    pub queue_bytes: usize,
    /// The maximum size of a request before its compression, in bytes.
    pub message_bytes: usize,
    /// How long an export is retried, from its first attempt on.
    pub max_age: Duration,
    /// The interval between two exports of metrics.
    pub metric_interval: Duration,
    /// The time limit of one request with metrics.
    pub metric_timeout: Duration,
}

/// The limits of spans, or those of log records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchLimits {
    /// The maximum number of events that wait. The sink drops further events and counts them.
    pub queue_capacity: usize,
    /// The maximum number of records in one request. It is at most the queue capacity.
    pub batch_size: usize,
    /// How long records wait for a batch to fill.
    pub schedule_delay: Duration,
    /// The limits of the attributes of each record.
    pub attributes: AttributeLimits,
}

/// The limits of the attributes of a span or of a log record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttributeLimits {
    /// The maximum number of attributes. The record says how many it does not have.
    pub count: usize,
    /// The maximum length of a text, in characters. `None` means no limit.
    pub value_length: Option<usize>,
}

// === impl Limits ===

impl Limits {
    /// Returns the limits of one signal; those of spans for metrics, which have no batches.
    #[must_use]
    pub fn batch(&self, signal: Signal) -> BatchLimits {
        match signal {
            Signal::Traces | Signal::Metrics => self.spans,
            Signal::Logs => self.logs,
        }
    }

    /// Returns the maximum number of events in the queue, from which all signals are taken.
    #[must_use]
    pub fn queue_capacity(&self) -> usize {
        self.spans.queue_capacity.max(self.logs.queue_capacity)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            spans: BatchLimits::default(),
            logs: BatchLimits::default(),
            span_events: 128,
            queue_bytes: 64 << 20,
            // What a receiver over gRPC takes by default.
            message_bytes: 4 << 20,
            max_age: Duration::from_secs(5 * 60),
            metric_interval: Duration::from_secs(60),
            metric_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            // The 2048 of the specification count spans. This queue holds events: two for each call,
            // and a turn hands over those of its tools at once. An empty slot takes 16 bytes.
            queue_capacity: 16_384,
            batch_size: 512,
            schedule_delay: Duration::from_secs(5),
            attributes: AttributeLimits::default(),
        }
    }
}

impl Default for AttributeLimits {
    fn default() -> Self {
        Self {
            count: 128,
            value_length: None,
        }
    }
}
