//! The export thread: takes events out of the queue and hands them to the pipelines of the signals.

use std::{
    future::Future,
    rc::Rc,
    sync::{Arc, PoisonError, mpsc},
    thread,
};

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::{Resource, logs::LogBatch, metrics::Temporality};
use tokio::{
    runtime,
    sync::mpsc::UnboundedReceiver,
    task::{LocalSet, spawn_local},
    time::{Instant, sleep, timeout_at},
};

use super::{
    config::{OtlpConfig, Signal, SignalConfig},
    exporter::{self, ExportLogs, ExportMetrics, ExportSpans, Exporter},
    log::LogRecords,
    metrics::Metrics,
    names,
    outcome::ExportOutcome,
    pipeline::Pipeline,
    queue::{Queue, is_span},
    span,
    stats::{Counters, Stats},
    undelivered::Undelivered,
};
use crate::event::Event;

/// A command from a handle of the sink.
pub(super) enum Command {
    Flush(Request),
    Shutdown(Request),
}

pub(super) struct Request {
    pub(super) deadline: std::time::Instant,
    pub(super) response: mpsc::Sender<Result<(), Undelivered>>,
}

/// What the handles and the export thread share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) queue: Arc<Queue>,
    pub(super) counters: Arc<Counters>,
}

/// The custom exporters.
#[derive(Default)]
pub(super) struct Exporters {
    pub(super) spans: Option<Exporter<dyn ExportSpans>>,
    pub(super) logs: Option<Exporter<dyn ExportLogs>>,
    pub(super) metrics: Option<Exporter<dyn ExportMetrics>>,
}

struct Worker {
    shared: Shared,
    /// One for each exported signal, in the order of [`Signal::ALL`].
    pipelines: Vec<Rc<Pipeline>>,
    metrics: Option<Rc<Metrics>>,
    /// The events that were taken out of the queue.
    events: Vec<Event>,
}

/// What a flush or a shutdown waits for in one pipeline.
struct Awaited {
    pipeline: Rc<Pipeline>,
    /// The number of records to be acknowledged.
    target: u64,
    /// The failed records before, and the dropped ones of this request.
    failed_before: u64,
    dropped: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Reports what failed since the request.
    Flush,
    /// Reports all failures that were not reported. Metrics are exported last, because they include the
    /// counters of the sink.
    Shutdown,
}

/// Counts pending records as failed when the export thread ends, also by a panic.
struct EndGuard(Shared);

/// Runs the export thread until a shutdown, or until the last handle is dropped.
pub(super) fn run(
    shared: Shared,
    config: &OtlpConfig,
    exporters: Exporters,
    commands: UnboundedReceiver<Command>,
) {
    let _end = EndGuard(shared.clone());
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::warn!(
                target: "codex_telemetry",
                "the OTLP sink exports nothing: its runtime could not be started: {error}"
            );
            return;
        }
    };
    let tasks = LocalSet::new();
    runtime.block_on(tasks.run_until(async {
        let mut worker = Worker::start(shared, config, exporters);
        worker.process(config, commands).await;
    }));
    // Aborts the pipelines before the runtime.
    drop(tasks);
    // Does not wait for blocking tasks of exporters, such as name resolution.
    runtime.shutdown_background();
}

// === impl Shared ===

impl Shared {
    /// Closes the queue and counts pending records as failed. They are not exported any more.
    pub(super) fn fail_pending(&self, reason: &str) {
        let closing = &self.counters.closing;
        let _closing = closing.lock().unwrap_or_else(PoisonError::into_inner);
        self.queue.close();
        let stats = Stats::new(&self.queue, &self.counters);
        for signal in Signal::ALL {
            let (counters, pending) = (self.counters.of(signal), stats.of(signal).pending());
            if pending > 0 {
                let problem = counters.problem();
                counters.failed(pending, problem.as_deref().unwrap_or(reason));
            }
        }
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            const REASON: &str = "the export thread panicked";
            tracing::warn!(target: "codex_telemetry", "the OTLP sink exports nothing more: {REASON}");
            for signal in Signal::ALL {
                self.0.counters.of(signal).set_problem(Some(REASON));
            }
        }
        self.0.fail_pending("the export thread has ended");
    }
}

// === impl Worker ===

impl Worker {
    /// Starts the pipelines. Exporters are built here, because those over gRPC need the runtime.
    fn start(shared: Shared, config: &OtlpConfig, exporters: Exporters) -> Self {
        let scope = InstrumentationScope::builder(names::SCOPE)
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let resource = Resource::builder_empty()
            .with_attributes(config.resource_attributes().to_vec())
            .build();
        let mut worker = Self {
            shared,
            pipelines: Vec::new(),
            metrics: None,
            events: Vec::new(),
        };
        if let Some(exporter) = choose(exporters.spans, config.traces(), exporter::spans) {
            worker.start_traces(exporter, config, &resource, scope.clone());
        }
        if let Some(exporter) = choose(exporters.metrics, config.metrics(), exporter::metrics) {
            worker.start_metrics(exporter, config, resource.clone(), scope.clone());
        }
        if let Some(exporter) = choose(exporters.logs, config.logs(), exporter::logs) {
            worker.start_logs(exporter, config, &resource, scope);
        }
        worker
    }

    fn start_traces(
        &mut self,
        mut exporter: Exporter<dyn ExportSpans>,
        config: &OtlpConfig,
        resource: &Resource,
        scope: InstrumentationScope,
    ) {
        match exporter.get_mut() {
            Ok(exporter) => exporter.set_resource(resource),
            Err(problem) => warn_unexported(Signal::Traces, problem),
        }
        let (pipeline, batch_size) = (self.pipeline(Signal::Traces, config), config.batch_size());
        spawn_local(async move {
            let export = async |batch: &[Event]| {
                let spans = batch.iter().map(|event| span::span(event, &scope));
                let spans = spans.collect();
                exporter.export(|exporter| exporter.export(spans)).await
            };
            pipeline.export_events(batch_size, export).await;
        });
    }

    fn start_logs(
        &mut self,
        mut exporter: Exporter<dyn ExportLogs>,
        config: &OtlpConfig,
        resource: &Resource,
        scope: InstrumentationScope,
    ) {
        match exporter.get_mut() {
            Ok(exporter) => exporter.set_resource(resource),
            Err(problem) => warn_unexported(Signal::Logs, problem),
        }
        let (pipeline, batch_size) = (self.pipeline(Signal::Logs, config), config.batch_size());
        let records = LogRecords::new();
        spawn_local(async move {
            let export = async |batch: &[Event]| {
                let batch: Vec<_> = batch.iter().map(|event| records.record(event)).collect();
                let batch: Vec<_> = batch.iter().map(|record| (record, &scope)).collect();
                let batch = LogBatch::new(&batch);
                exporter.export(|exporter| exporter.export(batch)).await
            };
            pipeline.export_events(batch_size, export).await;
        });
    }

    fn start_metrics(
        &mut self,
        mut exporter: Exporter<dyn ExportMetrics>,
        config: &OtlpConfig,
        resource: Resource,
        scope: InstrumentationScope,
    ) {
        let temporality = match exporter.get_mut() {
            Ok(exporter) => exporter.temporality(),
            Err(problem) => {
                warn_unexported(Signal::Metrics, problem);
                Temporality::Cumulative
            }
        };
        let metrics = Rc::new(Metrics::new(resource, scope, temporality, &self.shared));
        self.metrics = Some(Rc::clone(&metrics));
        let (pipeline, interval) = (
            self.pipeline(Signal::Metrics, config),
            config.metric_interval(),
        );
        spawn_local(async move {
            let export = async || match metrics.collect() {
                Ok(totals) => exporter.export(|exporter| exporter.export(&totals)).await,
                Err(problem) => ExportOutcome::Rejected { problem },
            };
            pipeline.export_totals(interval, export).await;
        });
    }

    /// Adds a pipeline.
    fn pipeline(&mut self, signal: Signal, config: &OtlpConfig) -> Rc<Pipeline> {
        let pipeline = Pipeline::new(signal, &self.shared.counters, config.queue_capacity());
        self.pipelines.push(Rc::clone(&pipeline));
        pipeline
    }

    /// Processes events and commands until a shutdown.
    async fn process(&mut self, config: &OtlpConfig, mut commands: UnboundedReceiver<Command>) {
        let queue = Arc::clone(&self.shared.queue);
        let delay = config.schedule_delay();
        loop {
            tokio::select! {
                () = queue.batch_ready() => self.distribute(),
                () = sleep(delay) => self.distribute(),
                command = commands.recv() => match command {
                    Some(Command::Flush(request)) => self.flush(request),
                    Some(Command::Shutdown(request)) => return self.shut_down(request).await,
                    None => return,
                },
            }
        }
    }

    /// Hands the events of the queue to the pipelines.
    fn distribute(&mut self) {
        let dropped = self.shared.queue.take(&mut self.events);
        if let Some(metrics) = &self.metrics {
            for (operation, delta) in dropped {
                metrics.add_active(operation, delta);
            }
        }
        for event in self.events.drain(..) {
            if let Some(metrics) = &self.metrics {
                metrics.measure(&event);
            }
            for pipeline in &self.pipelines {
                match pipeline.signal() {
                    Signal::Traces if !is_span(&event) => {}
                    Signal::Traces | Signal::Logs => pipeline.push(event.clone()),
                    Signal::Metrics => pipeline.receive(),
                }
            }
        }
        for pipeline in &self.pipelines {
            pipeline.wake();
        }
    }

    /// Answers a flush in a task, so that events are distributed meanwhile.
    fn flush(&mut self, request: Request) {
        let delivered = self.deliver(request.deadline.into(), Purpose::Flush);
        spawn_local(async move {
            // The caller may have stopped waiting.
            let _ = request.response.send(delivered.await);
        });
    }

    async fn shut_down(&mut self, request: Request) {
        let delivered = self.deliver(request.deadline.into(), Purpose::Shutdown);
        let delivered = delivered.await;
        self.shared.fail_pending("the sink was shut down first");
        // The caller may have stopped waiting.
        let _ = request.response.send(delivered);
    }

    /// Waits until all events of the queue are exported or failed, and returns those that were not
    /// exported.
    fn deliver(
        &mut self,
        deadline: Instant,
        purpose: Purpose,
    ) -> impl Future<Output = Result<(), Undelivered>> + use<> {
        let pipelines = self.pipelines.iter();
        let dropped_before: Vec<_> = pipelines.map(|pipeline| pipeline.dropped()).collect();
        self.distribute();
        let awaited: Vec<_> = self
            .pipelines
            .iter()
            .zip(dropped_before)
            .map(|(pipeline, dropped_before)| Awaited {
                pipeline: Rc::clone(pipeline),
                target: pipeline.received(),
                failed_before: pipeline.failed(),
                // Only those of this request: later events are dropped independently of it.
                dropped: pipeline.dropped() - dropped_before,
            })
            .collect();
        let counters = Arc::clone(&self.shared.counters);
        async move {
            let acknowledged = async |is_wanted: fn(Signal) -> bool| {
                let wanted = |awaited: &&Awaited| is_wanted(awaited.pipeline.signal());
                for awaited in awaited.iter().filter(wanted) {
                    awaited.pipeline.request_flush();
                }
                for awaited in awaited.iter().filter(wanted) {
                    awaited.pipeline.acknowledged(awaited.target).await;
                }
            };
            if purpose == Purpose::Shutdown {
                // Metrics get the second half of the time, even if the others do not finish.
                let half = Instant::now() + deadline.duration_since(Instant::now()) / 2;
                let others = acknowledged(|signal| signal != Signal::Metrics);
                let _ = timeout_at(half, others).await;
            }
            let _ = timeout_at(deadline, acknowledged(|_| true)).await;
            let mut undelivered = Undelivered::default();
            for awaited in &awaited {
                let pipeline = &awaited.pipeline;
                let failed = match purpose {
                    Purpose::Flush => awaited.dropped + pipeline.failed() - awaited.failed_before,
                    Purpose::Shutdown => pipeline.unreported(),
                };
                pipeline.report(failed);
                let (signal, pending) = (pipeline.signal(), pipeline.pending(awaited.target));
                let reason = counters.of(signal).reason(failed, pending);
                undelivered.add(signal, failed, pending, reason);
            }
            undelivered.into_result()
        }
    }
}

/// Returns the custom exporter of a signal, or else the configured one.
fn choose<E: ?Sized>(
    custom: Option<Exporter<E>>,
    config: Option<&SignalConfig>,
    build: fn(&SignalConfig) -> Exporter<E>,
) -> Option<Exporter<E>> {
    custom.or_else(|| config.map(build))
}

fn warn_unexported(signal: Signal, problem: &str) {
    tracing::warn!(target: "codex_telemetry", "OTLP {signal} are not exported: {problem}");
}
