use std::{collections::BTreeMap, fmt, sync::Arc, thread, time::Duration};

use opentelemetry::TraceId;
use opentelemetry_sdk::{
    logs::LogExporter, metrics::exporter::PushMetricExporter, trace::SpanExporter,
};
use tokio::sync::oneshot;

use super::{
    config::{ConfigWithWarnings, Endpoint, LogSelection, OtlpConfig, Sampler, Signal},
    convert::{Decision, Processors, RecordView},
    delivery::{
        Handle, Purpose, Shared, Stats, Undelivered,
        worker::{self, StartPipeline, Worker},
    },
    export::{CUSTOM, Exporter, ProbeError, probe},
};
use crate::{
    event::{Event, Interest},
    sink::Sink,
};

/// A sink that exports calls over OTLP as spans, metrics and log records.
///
/// [`emit`](Sink::emit) moves the event into a bounded queue and returns. If the queue is full, the sink
/// drops the event and counts it. A thread with a runtime of its own exports the events, so the sink works
/// with any executor, or without one.
///
/// Clones share the queue, the thread and the counters.
///
/// ```
/// use codex_telemetry::{OtlpConfig, OtlpSink, TimingLayer, otlp::Signal};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = OtlpConfig::builder().endpoint("http://localhost:4318").service_name("shop").build()?;
/// let sink = OtlpSink::start(config);
/// let layer = TimingLayer::new(sink.clone());
/// // … calls through the layer, and for a health page:
/// let endpoint = sink.endpoint(Signal::Traces).map(ToString::to_string);
/// assert_eq!(endpoint.as_deref(), Some("http://localhost:4318/v1/traces"));
/// assert_eq!(sink.stats().traces.dropped, 0);
/// assert_eq!(sink.problem(Signal::Traces), None);
/// // At exit:
/// sink.blocking_shutdown(Duration::from_secs(5))?;
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
///
/// [`from_env`] reads the configuration from the environment.
///
/// # At exit
///
/// Call [`shutdown`](Self::shutdown) and check its result. If the last clone is dropped without a
/// shutdown, the drop blocks for up to two seconds while pending records are exported.
#[derive(Clone)]
pub struct OtlpSink(Arc<Inner>);

struct Inner {
    handle: Handle,
    config: OtlpConfig,
    /// The signals of custom exporters.
    custom: Vec<Signal>,
    /// The events that become anything.
    interest: Interest,
}

/// Builds an [`OtlpSink`] with processors and custom exporters.
///
/// ```
/// use codex_telemetry::{
///     Call, Operation, OtlpConfig, OtlpSink, TimingLayer,
///     otlp::{RecordView, Signal},
/// };
/// use opentelemetry_sdk::{
///     error::OTelSdkResult,
///     trace::{SpanData, SpanExporter},
/// };
/// use std::{sync::mpsc, time::Duration};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// /// Sends the names of spans to a channel, in a test.
/// #[derive(Debug)]
/// struct Names(mpsc::Sender<String>);
///
/// impl SpanExporter for Names {
///     async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
///         for span in batch {
///             let _ = self.0.send(span.name.into_owned());
///         }
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (sender, names) = mpsc::channel();
/// let config = OtlpConfig::builder().signals([Signal::Traces]).build()?;
/// let sink = OtlpSink::builder(config)
///     .span_exporter(Names(sender))
///     .processor(|span: &mut RecordView<'_>| span.set_span_name("redacted"))
///     .start();
/// let layer = TimingLayer::new(sink.clone());
/// let service = layer.layer(service_fn(|_: Call<()>| async { Ok::<_, std::io::Error>(()) }));
/// service.oneshot(Call::new(Operation::Custom("sync"), ())).await?;
/// sink.shutdown(Duration::from_secs(60)).await?;
/// assert_eq!(names.recv()?, "redacted");
/// # Ok(())
/// # }
/// ```
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
///     && let Err(undelivered) = sink.blocking_shutdown(Duration::from_secs(5))
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
    ///
    /// ```
    /// use codex_telemetry::{OtlpConfig, OtlpSink, otlp::RecordView};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let without_paths = |record: &mut RecordView<'_>| {
    ///     record.attributes_mut().retain(|attribute| !attribute.value.as_str().starts_with('/'));
    /// };
    /// let sink = OtlpSink::builder(OtlpConfig::builder().build()?).processor(without_paths).start();
    /// assert_eq!(sink.stats().traces.accepted, 0);
    /// # Ok(())
    /// # }
    /// ```
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
        self.0.handle.shared.stats()
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
    /// ```
    /// use codex_telemetry::{OtlpConfig, OtlpSink, otlp::ProbeErrorKind};
    /// use std::{net::TcpListener, time::Duration};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // A receiver that does not answer.
    /// let receiver = TcpListener::bind("127.0.0.1:0")?;
    /// let url = format!("http://{}", receiver.local_addr()?);
    /// let sink = OtlpSink::start(OtlpConfig::builder().endpoint(&url).build()?);
    /// let error = sink.probe(Duration::from_millis(50)).unwrap_err();
    /// assert_eq!(error.kind(), ProbeErrorKind::Timeout);
    /// # Ok(())
    /// # }
    /// ```
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
        self.0.handle.shared.counters(signal).problem.clone()
    }

    /// Exports all records that were accepted so far.
    ///
    /// Blocks the thread for at most `timeout`, and half a second more if an exporter blocks the export
    /// thread. In async code, use [`flush`](Self::flush). Exporters and processors, which run on the export
    /// thread, get an error at once.
    ///
    /// ```
    /// use codex_telemetry::{OtlpConfig, OtlpSink};
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sink = OtlpSink::start(OtlpConfig::builder().build()?);
    /// // … after a job of a program that lives on:
    /// sink.blocking_flush(Duration::from_secs(5))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Undelivered`] if some of these records failed since the call, or are still pending. Two
    /// flushes at once that wait for the same records both report them.
    pub fn blocking_flush(&self, timeout: Duration) -> Result<(), Undelivered> {
        self.0.handle.request(timeout, Purpose::Flush)
    }

    /// Exports all records that were accepted so far, without blocking the thread.
    ///
    /// Works with any executor. The first flush starts a thread that is the clock of all.
    ///
    /// # Errors
    ///
    /// As [`blocking_flush`](Self::blocking_flush).
    ///
    /// ```
    /// use codex_telemetry::{Call, Operation, OtlpConfig, OtlpSink, TimingLayer};
    /// use std::{net::TcpListener, time::Duration};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // A receiver that does not answer.
    /// let receiver = TcpListener::bind("127.0.0.1:0")?;
    /// let url = format!("http://{}", receiver.local_addr()?);
    /// let sink = OtlpSink::start(OtlpConfig::builder().endpoint(&url).build()?);
    /// let layer = TimingLayer::new(sink.clone());
    /// let service = layer.layer(service_fn(|_: Call<()>| async { Ok::<_, std::io::Error>(()) }));
    ///
    /// assert!(sink.flush(Duration::from_secs(60)).await.is_ok(), "there is nothing to export");
    /// service.oneshot(Call::new(Operation::Custom("sync"), ())).await?;
    /// assert!(sink.flush(Duration::from_millis(50)).await.is_err());
    /// assert!(sink.shutdown(Duration::from_millis(50)).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the flush goes on in the background. A shutdown reports its failures.
    pub async fn flush(&self, timeout: Duration) -> Result<(), Undelivered> {
        self.0.handle.flush(timeout).await
    }

    /// Closes the queue, exports all accepted records, shuts custom exporters down and ends the export
    /// thread.
    ///
    /// Blocks the thread for at most `timeout`, and half a second more if an exporter blocks the export
    /// thread. Then pending records count as failed. In async code, use [`shutdown`](Self::shutdown).
    ///
    /// A second shutdown waits for the first one and returns the same result.
    ///
    /// # Errors
    ///
    /// Returns [`Undelivered`] if records failed or are still pending, or if the export thread did not
    /// respond in time. It includes earlier failures that no flush has reported.
    pub fn blocking_shutdown(&self, timeout: Duration) -> Result<(), Undelivered> {
        self.0.handle.shutdown(timeout)
    }

    /// Shuts the sink down, without blocking the thread. Works with any executor: a thread of its own waits.
    ///
    /// # Errors
    ///
    /// As [`blocking_shutdown`](Self::blocking_shutdown).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the shutdown goes on in the background. A second shutdown waits for it and
    /// returns its result.
    pub async fn shutdown(&self, timeout: Duration) -> Result<(), Undelivered> {
        let before = self.stats();
        let (response, delivered) = oneshot::channel();
        let sink = self.clone();
        let thread = thread::Builder::new().name("codex-telemetry-shutdown".to_owned());
        let started = thread.spawn(move || {
            // The caller may have stopped waiting.
            let _ = response.send(sink.blocking_shutdown(timeout));
        });
        if started.is_ok()
            && let Ok(delivered) = delivered.await
        {
            return delivered;
        }
        self.0.handle.unanswered(before, true)
    }
}

impl Sink for OtlpSink {
    #[inline]
    fn emit(&self, event: Event) {
        if self.0.interest.includes(&event) {
            // Also after a shutdown: the queue counts the event as dropped.
            self.0.handle.shared.queue.push(event);
        }
    }

    #[inline]
    fn emit_start(&self, event: &Event) {
        if self.0.interest.in_starts() {
            self.0.handle.shared.queue.push(event.clone());
        }
    }

    #[inline]
    fn interest(&self) -> Interest {
        if self.0.handle.is_enabled() {
            self.0.interest
        } else {
            Interest::NONE
        }
    }

    #[inline]
    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool> {
        Some(self.0.config.sampler().sample(trace_id, parent_sampled))
    }

    /// Returns what the configuration says, if the call may become a span: spans alone have content.
    fn captures_content(&self, is_sampled: bool) -> bool {
        let config = &self.0.config;
        let traces = Signal::Traces;
        config.captures_content()
            && (is_sampled || config.keeps_failures())
            && (config.signal(traces).is_some() || self.0.custom.contains(&traces))
    }
}

impl fmt::Debug for OtlpSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpSink")
            .field("is_enabled", &self.0.handle.is_enabled())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
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
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
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
    /// assert_eq!(sink.stats().traces.filtered, 0);
    /// # Ok(())
    /// # }
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
    /// A shutdown of the sink calls the exporter's `shutdown` once, after the last export and on the export
    /// thread. If that blocks, the sink's shutdown returns at its deadline with an error.
    pub fn span_exporter(self, exporter: impl SpanExporter + 'static) -> Self {
        let exporter = Exporter::custom(exporter, SpanExporter::shutdown);
        self.custom(Signal::Traces, |worker| worker.start_traces(exporter))
    }

    /// Sets a custom exporter of log records, as [`span_exporter`](Self::span_exporter) does of spans.
    ///
    /// ```
    /// use codex_telemetry::{
    ///     Call, Operation, OtlpConfig, OtlpSink, TimingLayer, otlp::Signal,
    /// };
    /// use opentelemetry_sdk::{
    ///     error::OTelSdkResult,
    ///     logs::{LogBatch, LogExporter},
    /// };
    /// use std::{sync::mpsc, time::Duration};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// #[derive(Debug)]
    /// struct Names(mpsc::Sender<Option<&'static str>>);
    ///
    /// impl LogExporter for Names {
    ///     async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
    ///         for (record, _) in batch.iter() {
    ///             let _ = self.0.send(record.event_name());
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (sender, names) = mpsc::channel();
    /// let config = OtlpConfig::builder().signals([Signal::Logs]).build()?;
    /// let sink = OtlpSink::builder(config).log_exporter(Names(sender)).start();
    /// let layer = TimingLayer::new(sink.clone());
    /// let service = layer.layer(service_fn(|_: Call<()>| async { Ok::<_, std::io::Error>(()) }));
    /// service.oneshot(Call::new(Operation::Tool, ())).await?;
    /// sink.shutdown(Duration::from_secs(60)).await?;
    /// assert!(names.try_iter().eq([Some("codex.tool.start"), Some("codex.tool.stop")]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn log_exporter(self, exporter: impl LogExporter + 'static) -> Self {
        let exporter = Exporter::custom(exporter, LogExporter::shutdown);
        self.custom(Signal::Logs, |worker| worker.start_logs(exporter))
    }

    /// Sets a custom exporter of metrics, as [`span_exporter`](Self::span_exporter) does of spans.
    ///
    /// Its temporality is used. With another one than cumulative, a failed export is sent again until it is
    /// accepted or rejected.
    ///
    /// ```
    /// use codex_telemetry::{
    ///     Call, Operation, OtlpConfig, OtlpSink, TimingLayer, otlp::Signal,
    /// };
    /// use opentelemetry_sdk::{
    ///     error::OTelSdkResult,
    ///     metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    /// };
    /// use std::{sync::mpsc, time::Duration};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// struct Names(mpsc::SyncSender<String>);
    ///
    /// impl PushMetricExporter for Names {
    ///     async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
    ///         for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
    ///             let _ = self.0.try_send(metric.name().to_owned());
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn force_flush(&self) -> OTelSdkResult {
    ///         Ok(())
    ///     }
    ///
    ///     fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
    ///         Ok(())
    ///     }
    ///
    ///     fn temporality(&self) -> Temporality {
    ///         Temporality::Cumulative
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (sender, names) = mpsc::sync_channel(64);
    /// let config = OtlpConfig::builder().signals([Signal::Metrics]).build()?;
    /// let sink = OtlpSink::builder(config).metric_exporter(Names(sender)).start();
    /// let layer = TimingLayer::new(sink.clone());
    /// let service = layer.layer(service_fn(|_: Call<()>| async { Ok::<_, std::io::Error>(()) }));
    /// service.oneshot(Call::new(Operation::Tool, ())).await?;
    /// sink.shutdown(Duration::from_secs(60)).await?;
    /// assert!(names.try_iter().any(|name| name == "gen_ai.execute_tool.duration"));
    /// # Ok(())
    /// # }
    /// ```
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
        let handle = Handle::start(shared, {
            let config = config.clone();
            move |shared, commands| worker::run(shared, config, processors, custom, commands)
        });
        OtlpSink(Arc::new(Inner {
            handle,
            interest: interest(&config, &custom_signals),
            config,
            custom: custom_signals,
        }))
    }
}

/// Returns which events become a span, a measurement or a log record.
fn interest(config: &OtlpConfig, custom: &[Signal]) -> Interest {
    let exports = |signal| config.signal(signal).is_some() || custom.contains(&signal);
    let logs = if exports(Signal::Logs) {
        config.log_selection()
    } else {
        LogSelection::None
    };
    let keeps_failures = exports(Signal::Traces) && config.keeps_failures();
    let spans = exports(Signal::Traces) && config.sampler() != Sampler::AlwaysOff;
    if exports(Signal::Metrics) || logs == LogSelection::All || keeps_failures {
        // Metrics count the active calls, and a trace that may have failed is complete when all of its calls have ended.
        Interest::ALL
    } else if spans || logs != LogSelection::None {
        Interest::ENDS
    } else {
        Interest::NONE
    }
}

impl fmt::Debug for OtlpSinkBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpSinkBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
