use std::time::Duration;

use super::{
    Signal,
    value::{
        InvalidValue, check_bytes, check_count, check_duration, parse_bytes, parse_count,
        parse_limit, parse_millis,
    },
    variables::Environment,
};

const QUEUE_BYTES: &str = "CODEX_OTLP_QUEUE_BYTES";
const MESSAGE_BYTES: &str = "CODEX_OTLP_MESSAGE_BYTES";
const MAX_AGE: &str = "CODEX_OTLP_MAX_AGE";
const METRIC_INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";
const METRIC_TIMEOUT: &str = "OTEL_METRIC_EXPORT_TIMEOUT";
const SPAN_EVENTS: &str = "OTEL_SPAN_EVENT_COUNT_LIMIT";

/// The limits of the queue and of the exports.
///
/// ```
/// use codex_telemetry::otlp::config::{Limits, OtlpConfig, Signal};
/// use std::time::Duration;
///
/// let mut limits = Limits::default();
/// limits.logs.queue_capacity = 20_000;
/// limits.logs.export_timeout = Some(Duration::from_secs(30));
/// let config = OtlpConfig::builder().limits(limits).build()?;
///
/// let limits = config.limits();
/// assert_eq!(limits.batch(Signal::Logs).queue_capacity, 20_000);
/// // The signals share one queue.
/// assert_eq!(limits.queue_capacity(), 20_000);
/// assert_eq!(limits.max_age(Signal::Logs), Duration::from_secs(30));
/// assert_eq!(limits.max_age(Signal::Traces), Duration::from_secs(300));
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The limits of spans.
    pub spans: BatchLimits,
    /// The limits of log records.
    pub logs: BatchLimits,
    /// The maximum number of events of a span. The span says how many it does not have.
    pub span_events: usize,
    /// The maximum size of the events that wait for their export, in bytes. It is estimated: 256 bytes for
    /// each event, and what was recorded on the call. A third each is for the queue, and for the buffers of
    /// spans and of log records.
    pub queue_bytes: usize,
    /// The maximum size of a request before its compression, in bytes.
    pub message_bytes: usize,
    /// How long an export of spans or log records is retried, from its first attempt on. Then its records fail.
    /// It does not apply to metrics, whose next export includes what failed.
    pub max_age: Duration,
    /// The interval between two exports of metrics.
    pub metric_interval: Duration,
    /// The time limit of one request with metrics.
    pub metric_timeout: Duration,
}

/// The limits of spans, or those of log records.
///
/// ```
/// use codex_telemetry::otlp::config::{Limits, OtlpConfig};
/// use std::time::Duration;
///
/// // Spans for a program that ends soon, and whose receiver takes small requests.
/// let mut limits = Limits::default();
/// limits.spans.batch_size = 64;
/// limits.spans.schedule_delay = Duration::from_millis(200);
/// assert!(OtlpConfig::builder().limits(limits).build().is_ok());
///
/// limits.spans.queue_capacity = 32;
/// let error = OtlpConfig::builder().limits(limits).build().unwrap_err();
/// assert_eq!(error.to_string(), "batch_size: larger than the queue");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchLimits {
    /// The maximum number of events that wait. The sink drops further events and counts them.
    pub queue_capacity: usize,
    /// The maximum number of records in one request. It is at most the queue capacity.
    pub batch_size: usize,
    /// How long records wait for a batch to fill.
    pub schedule_delay: Duration,
    /// How long an export is retried, from its first attempt on. `None` means [`Limits::max_age`].
    pub export_timeout: Option<Duration>,
    /// The limits of the attributes of each record.
    pub attributes: AttributeLimits,
}

/// The limits of the attributes of a span or of a log record.
///
/// ```
/// use codex_telemetry::otlp::config::OtlpConfig;
///
/// let with_warnings = OtlpConfig::from_variables([
///     ("CODEX_OTLP_ENABLE", "1"),
///     ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "32"),
///     ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1024"),
/// ]);
/// let limits = with_warnings.config.expect("it is enabled").limits();
/// assert_eq!(limits.spans.attributes.count, 32);
/// assert_eq!(limits.logs.attributes.count, 128);
/// assert_eq!(limits.logs.attributes.value_length, Some(1024));
/// ```
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

    /// Returns how long an export of this signal is retried: its `export_timeout`, or `max_age`.
    #[must_use]
    pub fn max_age(&self, signal: Signal) -> Duration {
        let export_timeout = match signal {
            Signal::Traces => self.spans.export_timeout,
            Signal::Metrics => None,
            Signal::Logs => self.logs.export_timeout,
        };
        export_timeout.unwrap_or(self.max_age)
    }

    /// Returns the maximum number of events in the queue, from which all signals are taken.
    #[must_use]
    pub fn queue_capacity(&self) -> usize {
        self.spans.queue_capacity.max(self.logs.queue_capacity)
    }

    /// Returns the name of the first invalid limit in the builder, and why it is invalid.
    pub(super) fn check(&self) -> Result<(), (&'static str, InvalidValue)> {
        let of = |setting| move |invalid| (setting, invalid);
        for batch in [&self.spans, &self.logs] {
            check_count(batch.queue_capacity).map_err(of("queue_capacity"))?;
            check_count(batch.batch_size).map_err(of("batch_size"))?;
            if batch.batch_size > batch.queue_capacity {
                return Err(("batch_size", "larger than the queue".into()));
            }
            check_duration(batch.schedule_delay).map_err(of("schedule_delay"))?;
            if let Some(timeout) = batch.export_timeout {
                check_duration(timeout).map_err(of("export_timeout"))?;
            }
        }
        check_bytes(self.queue_bytes).map_err(of("queue_bytes"))?;
        check_bytes(self.message_bytes).map_err(of("message_bytes"))?;
        check_duration(self.max_age).map_err(of("max_age"))?;
        check_duration(self.metric_interval).map_err(of("metric_interval"))?;
        check_duration(self.metric_timeout).map_err(of("metric_timeout"))?;
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            spans: BatchLimits::default(),
            logs: BatchLimits {
                schedule_delay: Duration::from_secs(1),
                ..BatchLimits::default()
            },
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
            export_timeout: None,
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

// === impl Environment ===

impl Environment {
    /// Reads the limits. Those of signals that are off are not checked.
    pub(super) fn limits(&mut self, traces: bool, metrics: bool, logs: bool) -> Limits {
        let mut limits = Limits::default();
        self.set(&mut limits.queue_bytes, QUEUE_BYTES, parse_bytes);
        self.set(&mut limits.message_bytes, MESSAGE_BYTES, parse_bytes);
        let max_age = self.read(MAX_AGE, parse_millis);
        limits.max_age = max_age.unwrap_or(limits.max_age);
        if traces {
            self.batch_limits(&mut limits.spans, "BSP", "SPAN_", max_age);
            self.set(&mut limits.span_events, SPAN_EVENTS, parse_limit);
        }
        if logs {
            self.batch_limits(&mut limits.logs, "BLRP", "LOGRECORD_", max_age);
        }
        if metrics {
            self.set(&mut limits.metric_interval, METRIC_INTERVAL, parse_millis);
            self.set(&mut limits.metric_timeout, METRIC_TIMEOUT, parse_millis);
        }
        // The signals share one queue, whose size is not that of a signal that is off.
        match (traces, logs) {
            (true, false) => limits.logs = limits.spans,
            (false, true) => limits.spans = limits.logs,
            _ => {}
        }
        limits
    }

    /// Reads the limits of spans or of log records: the variables of this processor, and those of the
    /// attributes of this kind of record.
    fn batch_limits(
        &mut self,
        limits: &mut BatchLimits,
        processor: &str,
        record: &str,
        max_age: Option<Duration>,
    ) {
        let BatchLimits {
            queue_capacity,
            batch_size,
            schedule_delay,
            export_timeout,
            attributes,
        } = limits;
        let name = |setting| format!("OTEL_{processor}_{setting}");
        self.set(queue_capacity, &name("MAX_QUEUE_SIZE"), parse_count);
        let default = *batch_size;
        let variable = name("MAX_EXPORT_BATCH_SIZE");
        self.set(batch_size, &variable, parse_count);
        if batch_size > queue_capacity {
            if *batch_size != default {
                let effect = "the size of the queue is used";
                self.warn(&variable, "larger than the queue".into(), effect);
            }
            *batch_size = *queue_capacity;
        }
        self.set(schedule_delay, &name("SCHEDULE_DELAY"), parse_millis);
        if max_age.is_none() {
            *export_timeout = self.read(&name("EXPORT_TIMEOUT"), parse_millis);
        }

        let names = |setting| [record, ""].map(|kind| format!("OTEL_{kind}ATTRIBUTE_{setting}"));
        let count = self.read_any(&names("COUNT_LIMIT"), parse_limit);
        attributes.count = count.unwrap_or(attributes.count);
        attributes.value_length = self.read_any(&names("VALUE_LENGTH_LIMIT"), parse_limit);
    }
}
