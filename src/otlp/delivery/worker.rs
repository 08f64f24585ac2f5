//! The export thread: takes events out of the queue and hands them to the pipelines of the signals.

use std::{
    collections::BTreeMap,
    future::Future,
    rc::Rc,
    sync::{Arc, mpsc},
    thread,
};

use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::{
    Resource,
    logs::{LogBatch, LogExporter},
    metrics::{Temporality, exporter::PushMetricExporter},
    trace::SpanExporter,
};
use tokio::{
    runtime,
    sync::mpsc::UnboundedReceiver,
    task::{LocalSet, spawn_local},
    time::{Instant, timeout, timeout_at},
};

use super::{
    pipeline::Pipeline, queue::is_span, self_metrics::SelfMetrics, shared::Shared,
    undelivered::Undelivered,
};
use crate::{
    event::Event,
    otlp::{
        config::{OtlpConfig, Signal},
        convert::{LogRecords, Metrics, Processors, Spans, data_points, is_selected, scope},
        export::{self, ExportOutcome, Exporter},
    },
};

/// A command from a handle of the sink.
pub(crate) struct Command {
    pub(crate) purpose: Purpose,
    pub(crate) deadline: std::time::Instant,
    pub(crate) response: mpsc::Sender<Result<(), Undelivered>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reports what failed since the command.
    Flush,
    /// Reports all failures that were not reported. Metrics are exported last, because they include the
    /// counters of the sink.
    Shutdown,
}

/// Starts the pipeline of a custom exporter.
pub(crate) type StartPipeline = Box<dyn FnOnce(&mut Worker) + Send>;

pub(crate) struct Worker {
    shared: Arc<Shared>,
    config: OtlpConfig,
    resource: Resource,
    scope: InstrumentationScope,
    /// The signals of custom exporters.
    custom: Vec<Signal>,
    processors: Arc<Processors>,
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

/// Counts pending records as failed when the export thread ends, also by a panic.
struct EndGuard(Arc<Shared>);

/// Runs the export thread until a shutdown, or until the last handle is dropped.
pub(crate) fn run(
    shared: Arc<Shared>,
    config: OtlpConfig,
    processors: Processors,
    custom: BTreeMap<Signal, StartPipeline>,
    commands: UnboundedReceiver<Command>,
) {
    let _end = EndGuard(Arc::clone(&shared));
    // Instruments of the application record nothing about this thread.
    let _suppressed = Context::enter_telemetry_suppressed_scope();
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
        let mut worker = Worker::start(shared, config, processors, custom);
        worker.process(commands).await;
    }));
    // Aborts the pipelines before the runtime.
    drop(tasks);
    // Does not wait for blocking tasks of exporters, such as name resolution.
    runtime.shutdown_background();
}

// === impl EndGuard ===

impl Drop for EndGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            const REASON: &str = "the export thread panicked";
            tracing::warn!(target: "codex_telemetry", "the OTLP sink exports nothing more: {REASON}");
            for signal in Signal::ALL {
                self.0.counters(signal).problem = Some(REASON.into());
            }
        }
        self.0.fail_pending("the export thread has ended");
    }
}

// === impl Worker ===

impl Worker {
    /// Starts the pipelines. Exporters are built here, because those over gRPC need the runtime.
    fn start(
        shared: Arc<Shared>,
        config: OtlpConfig,
        processors: Processors,
        mut custom: BTreeMap<Signal, StartPipeline>,
    ) -> Self {
        let mut worker = Self {
            shared,
            resource: config.resource(),
            scope: scope(),
            processors: Arc::new(processors),
            config,
            custom: Vec::new(),
            pipelines: Vec::new(),
            metrics: None,
            events: Vec::new(),
        };
        worker.custom = custom.keys().copied().collect();
        for signal in Signal::ALL {
            if let Some(start) = custom.remove(&signal) {
                start(&mut worker);
            } else if let Some(config) = worker.config.signal(signal).cloned() {
                let all = &worker.config;
                match signal {
                    Signal::Traces => worker.start_traces(export::spans(&config, all)),
                    Signal::Metrics => worker.start_metrics(export::metrics(&config, all)),
                    Signal::Logs => worker.start_logs(export::logs(&config, all)),
                }
            }
        }
        worker
    }

    pub(crate) fn start_traces<E>(&mut self, mut exporter: Exporter<E>)
    where
        E: SpanExporter + 'static,
    {
        let set_resource = |exporter: &mut E| exporter.set_resource(&self.resource);
        prepare(Signal::Traces, &mut exporter, set_resource);
        let limits = self.config.limits();
        let spans = Spans::new(self.scope.clone(), &limits, Arc::clone(&self.processors));
        self.start_events(Signal::Traces, async move |batch: &[Event]| {
            let spans = batch.iter().filter_map(|event| spans.span(event)).collect();
            let export = async |exporter: &E| exporter.export(spans).await;
            exporter.export(export).await
        });
    }

    pub(crate) fn start_logs<E>(&mut self, mut exporter: Exporter<E>)
    where
        E: LogExporter + 'static,
    {
        let set_resource = |exporter: &mut E| exporter.set_resource(&self.resource);
        prepare(Signal::Logs, &mut exporter, set_resource);
        let scope = self.scope.clone();
        let records = LogRecords::new(&self.config.limits(), Arc::clone(&self.processors));
        self.start_events(Signal::Logs, async move |batch: &[Event]| {
            let batch = batch.iter().filter_map(|event| records.record(event));
            let batch: Vec<_> = batch.collect();
            let batch: Vec<_> = batch.iter().map(|record| (record, &scope)).collect();
            let batch = LogBatch::new(&batch);
            let export = async |exporter: &E| exporter.export(batch).await;
            exporter.export(export).await
        });
    }

    /// Starts the pipeline of a signal that exports events in batches.
    fn start_events(
        &mut self,
        signal: Signal,
        export: impl AsyncFn(&[Event]) -> ExportOutcome + 'static,
    ) {
        let pipeline = self.add_pipeline(signal);
        let batch_size = self.config.limits().batch(signal).batch_size;
        spawn_local(async move { pipeline.export_events(batch_size, export).await });
    }

    pub(crate) fn start_metrics<E>(&mut self, mut exporter: Exporter<E>)
    where
        E: PushMetricExporter,
    {
        let temporality = prepare(Signal::Metrics, &mut exporter, |inner| inner.temporality());
        let metrics = Rc::new(Metrics::new(
            &self.config,
            self.resource.clone(),
            self.scope.clone(),
            temporality.unwrap_or(Temporality::Cumulative),
        ));
        let own = SelfMetrics::new(metrics.meter(), &self.shared, &self.config, &self.custom);
        self.metrics = Some(Rc::clone(&metrics));
        let pipeline = self.add_pipeline(Signal::Metrics);
        let interval = self.config.limits().metric_interval;
        spawn_local(async move {
            let export = async || {
                own.record_exports();
                let collected = match metrics.collect() {
                    Ok(collected) => collected,
                    Err(problem) => return ExportOutcome::Rejected(problem.into()),
                };
                own.export_began(data_points(&collected));
                let export = async |exporter: &E| exporter.export(&collected).await;
                let outcome = exporter.export(export).await;
                own.export_ended(&outcome);
                outcome
            };
            pipeline.export_totals(interval, export).await;
        });
    }

    fn add_pipeline(&mut self, signal: Signal) -> Rc<Pipeline> {
        let capacity = self.config.limits().batch(signal).queue_capacity;
        let pipeline = Pipeline::new(signal, &self.shared, capacity);
        self.pipelines.push(Rc::clone(&pipeline));
        pipeline
    }

    /// Processes events and commands until a shutdown.
    async fn process(&mut self, mut commands: UnboundedReceiver<Command>) {
        let shared = Arc::clone(&self.shared);
        let delay = self.config.limits().spans.schedule_delay;
        loop {
            let command = tokio::select! {
                _ = timeout(delay, shared.queue.batch_ready()) => {
                    self.distribute();
                    continue;
                }
                command = commands.recv() => command,
            };
            let Some(command) = command else { return };
            let delivered = self.deliver(command.deadline.into(), command.purpose);
            match command.purpose {
                // In a task, so that events are distributed meanwhile.
                Purpose::Flush => {
                    spawn_local(async move {
                        // The caller may have stopped waiting.
                        let _ = command.response.send(delivered.await);
                    });
                }
                Purpose::Shutdown => {
                    let delivered = delivered.await;
                    self.shared.fail_pending("the sink was shut down first");
                    // The caller may have stopped waiting.
                    let _ = command.response.send(delivered);
                    return;
                }
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
                    Signal::Logs if !is_selected(&event, self.config.log_selection()) => {}
                    Signal::Traces | Signal::Logs => pipeline.push(event.clone()),
                    Signal::Metrics => pipeline.receive(),
                }
            }
        }
        for pipeline in &self.pipelines {
            pipeline.wake();
        }
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
        let shared = Arc::clone(&self.shared);
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
                let pending = pipeline.pending(awaited.target);
                undelivered.add(&shared, pipeline.signal(), failed, pending);
            }
            undelivered.into_result()
        }
    }
}

/// Prepares an exporter, or logs a warning if it could not be built.
fn prepare<E, T>(
    signal: Signal,
    exporter: &mut Exporter<E>,
    prepare: impl FnOnce(&mut E) -> T,
) -> Option<T> {
    let exporter = exporter.inner.as_mut().inspect_err(|problem| {
        tracing::warn!(target: "codex_telemetry", "OTLP {signal} are not exported: {problem}");
    });
    exporter.ok().map(prepare)
}
