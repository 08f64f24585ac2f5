use std::{
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
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{
    books::{Account, Books, Stats},
    config::{Endpoint, OtlpConfig, Sampler, Signal, SignalConfig},
    export_thread,
    exporter::{ExportLogs, ExportMetrics, ExportSpans, Exporter},
    probe::{ProbeError, probe},
    queue::Queue,
    report::Undelivered,
    worker::{Command, Exporters, Request, Shared},
};
use crate::{event::Event, sink::Sink};

/// How long the last handle waits, when it is dropped, for what is under way.
const ON_DROP: Duration = Duration::from_secs(2);
/// How much longer than its deadline an answer of the export thread is waited for.
const GRACE: Duration = Duration::from_millis(500);
/// Thirty years, for a deadline that no clock can tell.
const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Exports events over OTLP: calls as spans, as metrics, and as log records.
///
/// The caller's half moves the event into a bounded queue and returns; when the queue is full the event
/// is dropped and counted. A thread of the sink's own, with a runtime of its own, does the rest; so the
/// sink works from any executor, or from none.
///
/// Clones share the queue, the thread and the books.
///
/// ```
/// use codex_telemetry::{OtlpSink, TimingLayer};
///
/// // Off, unless CODEX_OTLP_ENDPOINT or a standard endpoint is set.
/// let sink = codex_telemetry::otlp::from_env();
/// let layer = TimingLayer::new(sink);
/// # let _ = layer;
/// ```
///
/// # At exit
///
/// Call [`shutdown`](Self::shutdown) and look at what it says. When the last clone is dropped without
/// it, the drop waits up to two seconds for what is under way.
#[derive(Clone)]
pub struct OtlpSink(Arc<Handle>);

struct Handle {
    shared: Shared,
    config: OtlpConfig,
    sampler: Sampler,
    /// The signals that go to exporters of the application's own.
    own: Vec<Signal>,
    /// Off once the sink is shut down.
    on: AtomicBool,
    commands: UnboundedSender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Sets up an [`OtlpSink`].
#[must_use = "a builder does nothing until it is started"]
pub struct OtlpSinkBuilder {
    config: OtlpConfig,
    exporters: Exporters,
}

// === impl OtlpSink ===

impl OtlpSink {
    /// Starts an export as `config` says.
    ///
    /// Neither fails nor blocks: the exporters are built on the export thread, and one that cannot be is
    /// a warning, and its signal is counted as failed.
    #[must_use]
    pub fn start(config: OtlpConfig) -> Self {
        Self::builder(config).start()
    }

    /// Returns a builder, for exporters of the application's own.
    pub fn builder(config: OtlpConfig) -> OtlpSinkBuilder {
        OtlpSinkBuilder {
            config,
            exporters: Exporters::default(),
        }
    }

    /// Returns the books: what became of everything that was handed to the sink.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// Returns where a signal is sent, without secrets; `None` when it is off, or goes to an exporter of
    /// the application's own.
    #[must_use]
    pub fn endpoint(&self, signal: Signal) -> Option<&Endpoint> {
        let config = of(&self.0.config, signal).filter(|_| !self.0.own.contains(&signal));
        config.map(SignalConfig::endpoint)
    }

    /// Sends one span by the way that traces go, beside those that are under way, and says what is
    /// wrong; see [`probe`](super::probe()).
    ///
    /// # Errors
    ///
    /// [`ProbeError`] says what is wrong, and where.
    pub fn probe(&self, within: Duration) -> Result<(), ProbeError> {
        probe(&self.0.config, within)
    }

    /// Returns the last thing that went wrong with a signal and was not made good since.
    #[must_use]
    pub fn problem(&self, signal: Signal) -> Option<Arc<str>> {
        self.0.shared.books.of(signal).last_problem()
    }

    /// Exports what was accepted so far, and waits for it.
    ///
    /// Blocks the thread for as long as `within`: from async code, call it on a blocking thread.
    ///
    /// # Errors
    ///
    /// [`Undelivered`] tells how many records were not delivered by then, and why.
    pub fn flush(&self, within: Duration) -> Result<(), Undelivered> {
        self.0.ask(within, Command::Flush)
    }

    /// Takes no more events, exports what was accepted, and ends the export thread.
    ///
    /// Blocks the thread for as long as `within`. What is not delivered by then is counted as failed. A
    /// second shutdown finds nothing to do.
    ///
    /// # Errors
    ///
    /// [`Undelivered`] tells how many records were not delivered, and why; also of those that failed
    /// earlier, unless a flush has told of them.
    pub fn shutdown(&self, within: Duration) -> Result<(), Undelivered> {
        self.0.shutdown(within)
    }
}

impl Sink for OtlpSink {
    #[inline]
    fn emit(&self, event: Event) {
        // A call that began before a shutdown is told to its end, even if only as dropped.
        self.0.shared.queue.push(event);
    }

    #[inline]
    fn enabled(&self) -> bool {
        self.0.on.load(Relaxed)
    }

    #[inline]
    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool> {
        Some(self.0.sampler.sample(trace_id, parent_sampled))
    }
}

impl fmt::Debug for OtlpSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpSink")
            .field("on", &self.0.on)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

// === impl Handle ===

impl Handle {
    fn shutdown(&self, within: Duration) -> Result<(), Undelivered> {
        if !self.on.swap(false, Relaxed) {
            return Ok(());
        }
        // What comes from here on would be neither in the answer nor on its way.
        self.shared.queue.close();
        let told = self.ask(within, Command::Shutdown);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && !told.as_ref().is_err_and(Undelivered::is_unanswered)
        {
            // It has answered, so it is at its end.
            let _ = thread.join();
        }
        told
    }

    fn ask(&self, within: Duration, command: fn(Request) -> Command) -> Result<(), Undelivered> {
        let before = self.stats();
        let (answer, told) = mpsc::channel();
        let now = Instant::now();
        let deadline = now.checked_add(within).unwrap_or(now + FOR_EVER);
        let told = match self.commands.send(command(Request { deadline, answer })) {
            Ok(()) => told.recv_timeout(within.saturating_add(GRACE)),
            // The thread is gone: it was shut down before, or could not be started.
            Err(_) => Err(RecvTimeoutError::Disconnected),
        };
        told.unwrap_or_else(|error| {
            let report = match error {
                RecvTimeoutError::Timeout => Undelivered::unanswered(),
                RecvTimeoutError::Disconnected => {
                    self.shared.give_up("the export thread has ended");
                    Undelivered::default()
                }
            };
            self.complete(report, &before)
        })
    }

    /// What the books say, when the export thread says nothing.
    fn complete(&self, mut report: Undelivered, before: &Stats) -> Result<(), Undelivered> {
        let after = self.stats();
        for signal in Signal::ALL {
            let failed = after.of(signal).failed - before.of(signal).failed;
            let pending = after.of(signal).pending();
            let why = self.shared.books.of(signal).why(failed, pending);
            report.add(signal, failed, pending, why);
        }
        report.into_result()
    }

    fn stats(&self) -> Stats {
        Stats::new(&self.shared.queue, &self.shared.books)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(_undelivered) = self.shutdown(ON_DROP) {
            tracing::warn!(
                target: "codex_telemetry",
                "the OTLP sink was dropped before everything was delivered; call \
                 `OtlpSink::shutdown` with more time: {_undelivered}"
            );
        }
    }
}

// === impl OtlpSinkBuilder ===

impl OtlpSinkBuilder {
    /// Exports spans by an exporter of the application's own, whatever the configuration says of traces.
    ///
    /// Such an exporter is dropped at the end and not shut down: one that holds things back is the
    /// application's to flush. This goes for those below as well.
    pub fn span_exporter(
        mut self,
        exporter: impl opentelemetry_sdk::trace::SpanExporter + 'static,
    ) -> Self {
        let exporter: Box<dyn ExportSpans> = Box::new(exporter);
        self.exporters.spans = Some(Exporter::own(exporter));
        self
    }

    /// Exports log records by an exporter of the application's own, whatever the configuration says of
    /// logs.
    pub fn log_exporter(
        mut self,
        exporter: impl opentelemetry_sdk::logs::LogExporter + 'static,
    ) -> Self {
        let exporter: Box<dyn ExportLogs> = Box::new(exporter);
        self.exporters.logs = Some(Exporter::own(exporter));
        self
    }

    /// Exports metrics by an exporter of the application's own, whatever the configuration says of
    /// metrics. Its temporality should be cumulative: the totals of an export that fails are not kept for
    /// the next one otherwise.
    pub fn metric_exporter(
        mut self,
        exporter: impl opentelemetry_sdk::metrics::exporter::PushMetricExporter,
    ) -> Self {
        let exporter: Box<dyn ExportMetrics> = Box::new(exporter);
        self.exporters.metrics = Some(Exporter::own(exporter));
        self
    }

    /// Starts the export thread.
    ///
    /// When no thread can be had the sink is off, after a warning.
    #[must_use]
    pub fn start(self) -> OtlpSink {
        let Self { config, exporters } = self;
        let mut own = Signal::ALL.to_vec();
        own.retain(|signal| match signal {
            Signal::Traces => exporters.spans.is_some(),
            Signal::Metrics => exporters.metrics.is_some(),
            Signal::Logs => exporters.logs.is_some(),
        });
        let account = |signal| {
            let config = of(&config, signal).map(|config| config.endpoint().to_string());
            let own = own.contains(&signal);
            Account::new(if own {
                Some("the application's exporter".to_owned())
            } else {
                config
            })
        };
        let shared = Shared {
            queue: Arc::new(Queue::new(config.queue_capacity(), config.batch_size())),
            books: Arc::new(Books {
                traces: account(Signal::Traces),
                metrics: account(Signal::Metrics),
                logs: account(Signal::Logs),
                ..Books::default()
            }),
        };
        let sampler = config.sampler();
        let (commands, received) = unbounded_channel();
        let spawned = thread::Builder::new()
            .name("codex-telemetry-otlp".to_owned())
            .spawn({
                let (shared, config) = (shared.clone(), config.clone());
                move || export_thread::run(shared, config, exporters, received)
            });
        let thread = spawned
            .inspect_err(|error| {
                tracing::warn!(
                    target: "codex_telemetry",
                    "the OTLP sink is off, its thread could not be started: {error}"
                );
            })
            .ok();
        OtlpSink(Arc::new(Handle {
            shared,
            config,
            sampler,
            own,
            on: AtomicBool::new(thread.is_some()),
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

fn of(config: &OtlpConfig, signal: Signal) -> Option<&SignalConfig> {
    match signal {
        Signal::Traces => config.traces(),
        Signal::Metrics => config.metrics(),
        Signal::Logs => config.logs(),
    }
}
