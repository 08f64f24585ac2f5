use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use opentelemetry::TraceId;
use opentelemetry_sdk::{
    logs::LogExporter, metrics::exporter::PushMetricExporter, trace::SpanExporter,
};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{
    config::{ConfigWithWarnings, Endpoint, OtlpConfig, Signal},
    convert::{Decision, Processors, RecordView},
    delivery::{
        Shared, Stats, Undelivered,
        worker::{self, Command, Purpose, StartPipeline, Worker},
    },
    export::{CUSTOM, Exporter, ProbeError, probe},
};
use crate::{event::Event, sink::Sink};

/// How long the drop of the last handle waits for pending records.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);
/// How much longer than its deadline a caller waits for the export thread.
const GRACE: Duration = Duration::from_millis(500);
/// Thirty years, for a deadline that a clock cannot represent.
const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A sink that exports calls over OTLP as spans, metrics and log records.
///
/// [`emit`](Sink::emit) moves the event into a bounded queue and returns. If the queue is full, the sink
/// drops the event and counts it. A thread with a runtime of its own exports the events, so the sink works
/// with any executor, or without one.
///
/// Clones share the queue, the thread and the counters.
///
/// ```
/// use codex_telemetry::{OtlpSink, TimingLayer};
///
/// // `None`, unless CODEX_OTLP_ENDPOINT or a standard endpoint is set.
/// let sink = codex_telemetry::otlp::from_env();
/// let layer = TimingLayer::new(sink);
/// # let _ = layer;
/// ```
///
/// # At exit
///
/// Call [`shutdown`](Self::shutdown) and check its result. If the last clone is dropped without a
/// shutdown, the drop blocks for up to two seconds while pending records are exported.
#[derive(Clone)]
pub struct OtlpSink(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    config: OtlpConfig,
    /// The signals of custom exporters.
    custom: Vec<Signal>,
    /// False after a shutdown.
    is_enabled: AtomicBool,
    commands: UnboundedSender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Builds an [`OtlpSink`] with processors and custom exporters.
#[must_use = "a builder does nothing until it is started"]
pub struct OtlpSinkBuilder {
    config: OtlpConfig,
    processors: Processors,
    custom: BTreeMap<Signal, StartPipeline>,
}

/// Returns a sink that is configured by the environment, or `None` if the export is off. `None` is a
/// disabled sink.
///
/// Does not fail and does not block. It logs a warning for each invalid variable, and ignores the
/// variable. See [`config`](super::config) for the variables.
///
/// ```
/// use codex_telemetry::{TimingLayer, otlp};
/// use std::time::Duration;
///
/// let sink = otlp::from_env();
/// let layer = TimingLayer::new(sink.clone());
/// // … at exit:
/// if let Some(sink) = sink
///     && let Err(undelivered) = sink.shutdown(Duration::from_secs(5))
/// {
///     eprintln!("{undelivered}");
/// }
/// # let _ = layer;
/// ```
#[must_use]
pub fn from_env() -> Option<OtlpSink> {
    let ConfigWithWarnings { config, warnings } = OtlpConfig::from_env();
    for warning in &warnings {
        tracing::warn!(target: "codex_telemetry", "{warning}");
    }
    config.map(OtlpSink::start)
}

// === impl OtlpSink ===

impl OtlpSink {
    /// Starts a sink.
    ///
    /// Does not fail and does not block: the export thread builds the exporters. If one cannot be built,
    /// the sink logs a warning and counts the records of its signal as failed.
    #[must_use]
    pub fn start(config: OtlpConfig) -> Self {
        Self::builder(config).start()
    }

    /// Returns a builder, which takes processors and custom exporters.
    pub fn builder(config: OtlpConfig) -> OtlpSinkBuilder {
        OtlpSinkBuilder {
            config,
            processors: Processors::default(),
            custom: BTreeMap::new(),
        }
    }

    /// Returns the counters of accepted, exported, failed and dropped records.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.shared.stats()
    }

    /// Returns the endpoint of a signal, without secrets. Returns `None` if the signal is not exported,
    /// or has a custom exporter.
    #[must_use]
    pub fn endpoint(&self, signal: Signal) -> Option<&Endpoint> {
        let config = self.0.config.signal(signal);
        let config = config.filter(|_| !self.0.custom.contains(&signal));
        config.map(|config| &config.endpoint)
    }

    /// Exports one test span to the endpoint of traces, independently of pending records. See
    /// [`probe`](super::probe()).
    ///
    /// # Errors
    ///
    /// Returns a [`ProbeError`] if the span was not accepted.
    pub fn probe(&self, timeout: Duration) -> Result<(), ProbeError> {
        probe(&self.0.config, timeout)
    }

    /// Returns the latest problem of a signal, until an export succeeds.
    #[must_use]
    pub fn problem(&self, signal: Signal) -> Option<Arc<str>> {
        self.0.shared.counters(signal).problem.clone()
    }

    /// Exports all records that were accepted so far.
    ///
    /// Blocks the thread for at most `timeout`. From async code, call it on a blocking thread.
    ///
    /// # Errors
    ///
    /// Returns [`Undelivered`] if records failed or are still pending.
    pub fn flush(&self, timeout: Duration) -> Result<(), Undelivered> {
        self.0.request(timeout, Purpose::Flush)
    }

    /// Closes the queue, exports all accepted records and ends the export thread.
    ///
    /// Blocks the thread for at most `timeout`, then counts pending records as failed. A second shutdown
    /// does nothing.
    ///
    /// # Errors
    ///
    /// Returns [`Undelivered`] if records failed or are still pending. It includes earlier failures that no
    /// flush has reported.
    pub fn shutdown(&self, timeout: Duration) -> Result<(), Undelivered> {
        self.0.shutdown(timeout)
    }
}

impl Sink for OtlpSink {
    #[inline]
    fn emit(&self, event: Event) {
        // Also after a shutdown: the queue counts the event as dropped.
        self.0.shared.queue.push(event);
    }

    #[inline]
    fn enabled(&self) -> bool {
        self.0.is_enabled.load(Relaxed)
    }

    #[inline]
    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool> {
        Some(self.0.config.sampler().sample(trace_id, parent_sampled))
    }
}

impl fmt::Debug for OtlpSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpSink")
            .field("is_enabled", &self.0.is_enabled)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

// === impl Handle ===

impl Handle {
    fn shutdown(&self, timeout: Duration) -> Result<(), Undelivered> {
        if !self.is_enabled.swap(false, Relaxed) {
            return Ok(());
        }
        // Closed first: the response would not include later events.
        self.shared.queue.close();
        let delivered = self.request(timeout, Purpose::Shutdown);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take()
            && !delivered.as_ref().is_err_and(Undelivered::is_timed_out)
        {
            // The thread ends right after its response.
            let _ = thread.join();
        }
        delivered
    }

    fn request(&self, timeout: Duration, purpose: Purpose) -> Result<(), Undelivered> {
        let before = self.shared.stats();
        let (response, delivered) = mpsc::channel();
        let now = Instant::now();
        let command = Command {
            purpose,
            deadline: now.checked_add(timeout).unwrap_or(now + FOR_EVER),
            response,
        };
        let delivered = match self.commands.send(command) {
            Ok(()) => delivered.recv_timeout(timeout.saturating_add(GRACE)),
            // The thread has ended, or was never started.
            Err(_) => Err(RecvTimeoutError::Disconnected),
        };
        delivered.unwrap_or_else(|error| {
            let mut undelivered = match error {
                RecvTimeoutError::Timeout => Undelivered::timed_out(),
                RecvTimeoutError::Disconnected => {
                    self.shared.fail_pending("the export thread has ended");
                    Undelivered::default()
                }
            };
            // Without a response, the counters show what was not delivered.
            let after = self.shared.stats();
            for signal in Signal::ALL {
                let failed = after.of(signal).failed - before.of(signal).failed;
                undelivered.add(&self.shared, signal, failed, after.of(signal).pending);
            }
            undelivered.into_result()
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(undelivered) = self.shutdown(DROP_TIMEOUT) {
            tracing::warn!(
                target: "codex_telemetry",
                "the OTLP sink was dropped before everything was delivered; call \
                 `OtlpSink::shutdown` with more time: {undelivered}"
            );
        }
    }
}

// === impl OtlpSinkBuilder ===

impl OtlpSinkBuilder {
    /// Adds a processor, which can drop, change or enrich each span and each log record before it is exported.
    /// Metrics are not processed.
    ///
    /// The processor runs on the export thread, once for each record; a retry sends the same record. It should not
    /// block: all signals wait for it. Several processors run in the order in which they were added, and none sees
    /// what an earlier one has dropped.
    ///
    /// If a processor panics, its record is not exported: a redaction that fails must not let the secret out. The
    /// sink logs a warning for the first panic.
    ///
    /// ```
    /// use codex_telemetry::{
    ///     Operation, OtlpConfig, OtlpSink,
    ///     otlp::{Decision, RecordView},
    /// };
    ///
    /// let config = OtlpConfig::builder().endpoint("http://collector:4318").build()?;
    /// let sink = OtlpSink::builder(config)
    ///     .processor(|record: &mut RecordView<'_>| {
    ///         record.set_attribute("deployment.environment.name", "staging");
    ///         record.remove_attribute("codex.process.stderr_tail");
    ///         if let Some(message) = record.message_mut() {
    ///             *message = message.replace("/home/alice", "~");
    ///         }
    ///     })
    ///     .processor(|record: &mut RecordView<'_>| match record.event().operation() {
    ///         Operation::AttachmentCleanup => Decision::Drop,
    ///         _ => Decision::Keep,
    ///     })
    ///     .start();
    /// # drop(sink);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn processor<D: Into<Decision>>(
        mut self,
        processor: impl Fn(&mut RecordView<'_>) -> D + Send + Sync + 'static,
    ) -> Self {
        self.processors.add(processor);
        self
    }

    /// Sets a custom exporter of spans. It replaces the configured one, and exports spans even if the
    /// configuration disables traces.
    ///
    /// The sink does not shut a custom exporter down, but drops it. If the exporter buffers, the
    /// application has to flush it.
    pub fn span_exporter(self, exporter: impl SpanExporter + 'static) -> Self {
        let exporter = Exporter::custom(exporter, SpanExporter::shutdown);
        self.custom(Signal::Traces, |worker| worker.start_traces(exporter))
    }

    /// Sets a custom exporter of log records, as [`span_exporter`](Self::span_exporter) does of spans.
    pub fn log_exporter(self, exporter: impl LogExporter + 'static) -> Self {
        let exporter = Exporter::custom(exporter, LogExporter::shutdown);
        self.custom(Signal::Logs, |worker| worker.start_logs(exporter))
    }

    /// Sets a custom exporter of metrics, as [`span_exporter`](Self::span_exporter) does of spans.
    ///
    /// Use cumulative temporality. With another one, the measurements of a failed export are lost.
    pub fn metric_exporter(self, exporter: impl PushMetricExporter) -> Self {
        let exporter = Exporter::custom(exporter, PushMetricExporter::shutdown);
        self.custom(Signal::Metrics, |worker| worker.start_metrics(exporter))
    }

    fn custom(mut self, signal: Signal, start: impl FnOnce(&mut Worker) + Send + 'static) -> Self {
        self.custom.insert(signal, Box::new(start));
        self
    }

    /// Starts the sink and its export thread.
    ///
    /// If the thread cannot be started, the sink logs a warning and is disabled.
    #[must_use]
    pub fn start(self) -> OtlpSink {
        let Self {
            config,
            processors,
            custom,
        } = self;
        let config = config.into_instance();
        let custom_signals: Vec<_> = custom.keys().copied().collect();
        let shared = Arc::new(Shared::new(config.limits(), |signal| {
            if custom_signals.contains(&signal) {
                return Some(CUSTOM.to_owned());
            }
            Some(config.signal(signal)?.endpoint.to_string())
        }));
        let (commands, received) = unbounded_channel();
        let thread = thread::Builder::new()
            .name("codex-telemetry-otlp".to_owned())
            .spawn({
                let (shared, config) = (Arc::clone(&shared), config.clone());
                move || worker::run(shared, config, processors, custom, received)
            })
            .inspect_err(|error| {
                tracing::warn!(
                    target: "codex_telemetry",
                    "the OTLP sink is disabled: its thread could not be started: {error}"
                );
            })
            .ok();
        OtlpSink(Arc::new(Handle {
            shared,
            config,
            custom: custom_signals,
            is_enabled: AtomicBool::new(thread.is_some()),
            commands,
            thread: Mutex::new(thread),
        }))
    }
}

impl fmt::Debug for OtlpSinkBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpSinkBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
