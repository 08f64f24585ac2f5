//! The export thread: takes events out of the queue and hands them to the pipelines of the signals.

use std::{collections::BTreeMap, panic::resume_unwind, rc::Rc, sync::Arc, thread};

use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::Resource;
use tokio::{
    runtime,
    sync::mpsc::UnboundedReceiver,
    task::{JoinSet, LocalSet, spawn_local, yield_now},
};

use super::{
    health::DropLog,
    pipeline::Pipeline,
    queue::Cut,
    request::{Command, Purpose, Request},
    schedule::Schedule,
    shard::is_span,
    shared::Shared,
    tail::{Tail, TailLimits},
};
use crate::{
    event::Event,
    otlp::{
        config::{OtlpConfig, Signal},
        convert::{Metrics, Processors, is_selected, scope},
        export,
    },
};

/// The maximum number of traces whose calls are held until they are decided.
const MAX_HELD_TRACES: usize = 1000;
/// The number of events that are handed out before the pipelines run.
const EVENTS_AT_ONCE: usize = 1024;

/// Starts the pipeline of a custom exporter.
pub(crate) type StartPipeline = Box<dyn FnOnce(&mut Worker) + Send>;

pub(crate) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) config: OtlpConfig,
    pub(super) resource: Resource,
    pub(super) scope: InstrumentationScope,
    /// The signals of custom exporters.
    pub(super) custom: Vec<Signal>,
    pub(super) processors: Arc<Processors>,
    /// One for each exported signal, in the order of [`Signal::ALL`].
    pub(super) pipelines: Vec<Rc<Pipeline>>,
    /// Their exports, which do not end.
    pub(super) exports: JoinSet<()>,
    pub(super) metrics: Option<Rc<Metrics>>,
    /// What was taken out of the queue.
    cut: Cut,
    /// The calls that may become spans although their trace was not sampled.
    tail: Option<Tail>,
    drop_log: DropLog,
    /// Shut the exporters down.
    pub(super) shutdowns: Vec<Box<dyn FnOnce() -> Result<(), String>>>,
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
            exports: JoinSet::new(),
            metrics: None,
            cut: Cut::default(),
            tail: None,
            drop_log: DropLog::default(),
            shutdowns: Vec::new(),
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
        let exports_traces = find(&worker.pipelines, Signal::Traces).is_some();
        if worker.config.keeps_failures() && exports_traces {
            worker.tail = Some(Tail::new(TailLimits {
                traces: MAX_HELD_TRACES,
                events: worker.config.limits().queue_capacity(),
                bytes: worker.config.limits().queue_bytes / 4,
            }));
        }
        worker
    }

    /// Processes events and commands until a shutdown.
    async fn process(&mut self, mut commands: UnboundedReceiver<Command>) {
        let shared = Arc::clone(&self.shared);
        let mut schedule = Schedule::new(&self.pipelines);
        loop {
            let is_idle = self.is_idle();
            let command = tokio::select! {
                () = schedule.next(), if !is_idle => {
                    if !self.distribute_in_parts(&mut schedule).await {
                        shared.queue.rest();
                    }
                    continue;
                }
                () = shared.queue.is_ready() => {
                    if is_idle {
                        schedule = Schedule::new(&self.pipelines);
                    }
                    self.distribute_in_parts(&mut schedule).await;
                    continue;
                }
                command = commands.recv() => command,
                // A pipeline that nobody exports would be silent. So the thread ends, and says so.
                Some(Err(error)) = self.exports.join_next() => match error.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    Err(_) => continue,
                },
            };
            let Some(command) = command else { return };
            let purpose = command.purpose;
            let pipelines = self.pipelines.clone();
            let distribute = || {
                self.distribute();
                if purpose == Purpose::Shutdown {
                    self.keep_undecided();
                }
            };
            let request = Request::begin(command, Arc::clone(&shared), &pipelines, distribute);
            match purpose {
                // In a task, so that events are distributed meanwhile.
                Purpose::Flush => {
                    spawn_local(async move {
                        let delivered = request.deliver().await;
                        request.answer(delivered);
                    });
                }
                Purpose::Shutdown => {
                    let delivered = request.deliver().await;
                    shared.fail_pending("the sink was shut down first");
                    self.shut_down_exporters();
                    request.answer(delivered);
                    return;
                }
            }
        }
    }

    /// Returns whether nothing is to be done until the queue gets an event.
    fn is_idle(&self) -> bool {
        self.shared.queue.is_idle() && self.pipelines.iter().all(|pipeline| pipeline.is_idle())
    }

    /// Hands the events of the queue to the pipelines, all at once: a request is about to begin.
    fn distribute(&mut self) {
        self.take();
        let mut events = std::mem::take(&mut self.cut.events);
        self.hand_out(events.drain(..));
        // Its memory is for the next cut.
        self.cut.events = events;
    }

    /// Hands the events of the queue to the pipelines, and lets these run in between: as long as the records of some
    /// events are in the processor's cache, and before their buffers are full. Returns whether there were any events.
    async fn distribute_in_parts(&mut self, schedule: &mut Schedule) -> bool {
        self.take();
        let mut events = std::mem::take(&mut self.cut.events);
        let has_events = !events.is_empty();
        let mut rest = events.drain(..);
        loop {
            self.hand_out(rest.by_ref().take(EVENTS_AT_ONCE));
            schedule.wake();
            if rest.as_slice().is_empty() {
                break;
            }
            yield_now().await;
        }
        drop(rest);
        self.cut.events = events;
        has_events
    }

    /// Takes the events out of the queue.
    fn take(&mut self) {
        let cut = &mut self.cut;
        self.shared.queue.take(cut);
        self.drop_log.on_dropped(cut.dropped);
        if let Some(metrics) = &self.metrics {
            for (operation, delta) in cut.dropped_deltas.drain(..) {
                metrics.add_active(operation, delta);
            }
        }
        if let Some(tail) = &mut self.tail {
            let kept = tail.decide(&self.cut.events, &self.cut.dropped_calls);
            self.keep(kept);
        }
    }

    /// Hands events to the pipelines.
    fn hand_out(&self, events: impl Iterator<Item = Event>) {
        let selection = self.config.log_selection();
        let [traces, metrics, logs] = Signal::ALL.map(|signal| find(&self.pipelines, signal));
        let mut unselected = 0;
        for event in events {
            if let (Some(pipeline), Some(metrics)) = (metrics, &self.metrics) {
                metrics.measure(&event);
                pipeline.receive();
            }
            let span = traces.filter(|_| is_span(&event));
            let log = logs.filter(|_| is_selected(&event, selection));
            unselected += u64::from(logs.is_some() && log.is_none());
            // Cloned once at most: a clone is a write that other cores have to see.
            match (span, log) {
                (Some(traces), Some(logs)) => {
                    traces.push(event.clone());
                    logs.push(event);
                }
                (Some(pipeline), None) | (None, Some(pipeline)) => pipeline.push(event),
                (None, None) => {}
            }
        }
        if unselected > 0 {
            self.shared.counters(Signal::Logs).filtered += unselected;
        }
    }

    /// Decides the traces that are not complete: no more events will come.
    fn keep_undecided(&mut self) {
        if let Some(tail) = &mut self.tail {
            let kept = tail.decide_all();
            self.keep(kept);
        }
    }

    /// Exports the spans of a failed trace that was not sampled.
    fn keep(&self, events: Vec<Event>) {
        if let Some(pipeline) = find(&self.pipelines, Signal::Traces) {
            self.shared.counters(Signal::Traces).kept += events.len() as u64;
            for event in events {
                pipeline.push(event);
            }
        }
    }

    /// Shuts custom exporters down. They may block, which the caller of the shutdown does not wait for.
    fn shut_down_exporters(&mut self) {
        for shutdown in self.shutdowns.drain(..) {
            if let Err(problem) = shutdown() {
                tracing::warn!(target: "codex_telemetry", "an OTLP exporter was not shut down: {problem}");
            }
        }
    }
}

/// Returns the pipeline of a signal, if it is exported.
fn find(pipelines: &[Rc<Pipeline>], signal: Signal) -> Option<&Rc<Pipeline>> {
    pipelines
        .iter()
        .find(|pipeline| pipeline.signal() == signal)
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        future::poll_fn,
        panic::AssertUnwindSafe,
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        time::Duration,
    };

    use futures_util::FutureExt as _;
    use tokio::{sync::mpsc::unbounded_channel, time::timeout};

    use super::*;
    use crate::otlp::delivery::testing::{ACCEPTED, ends};

    #[tokio::test]
    async fn a_panic_of_an_export_ends_the_thread_and_is_not_silent() {
        let config = OtlpConfig::builder().signals([Signal::Logs]).build();
        let config = config.unwrap();
        let shared = Arc::new(Shared::new(config.limits(), |_| None));
        let (_commands, received) = unbounded_channel();
        LocalSet::new()
            .run_until(async {
                let mut worker =
                    Worker::start(shared, config, Processors::default(), BTreeMap::new());
                let panicking = async { panic!("a panic that the test expects") };
                worker.exports.spawn_local(panicking);
                let process = AssertUnwindSafe(worker.process(received)).catch_unwind();
                let ended = timeout(Duration::from_secs(30), process).await;
                assert!(ended.is_ok_and(|ended| ended.is_err()));
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn pipelines_export_while_the_rest_of_a_large_cut_is_handed_out() {
        let config = OtlpConfig::builder()
            .signals([Signal::Logs])
            .batch_size(512);
        let config = config.build().unwrap();
        let shared = Arc::new(Shared::new(config.limits(), |_| None));
        let (_commands, received) = unbounded_channel();
        let events = ends(2 * EVENTS_AT_ONCE);
        for event in &events {
            shared.queue.push(event.clone());
        }
        LocalSet::new()
            .run_until(async {
                let mut worker =
                    Worker::start(shared, config, Processors::default(), BTreeMap::new());
                // One that counts what it had received at its first export.
                let limits = worker.config.limits();
                let pipeline = Pipeline::new(Signal::Logs, &worker.shared, limits);
                worker.pipelines = vec![Rc::clone(&pipeline)];
                let first = Rc::new(Cell::new(None));
                let exports = {
                    let (pipeline, first) = (Rc::clone(&pipeline), Rc::clone(&first));
                    async move {
                        let export = async |_: &[Event]| {
                            first.set(first.get().or(Some(pipeline.received())));
                            ACCEPTED
                        };
                        pipeline.export_events(Some, export).await;
                    }
                };
                worker.exports.spawn_local(exports);
                let count = events.len() as u64;
                let all = pipeline.progress(|of| of.received() == count && of.pending(count) == 0);
                let all = timeout(Duration::from_secs(60), all);
                tokio::select! {
                    () = worker.process(received) => unreachable!("nobody has asked for it"),
                    all = all => all.unwrap(),
                }
                assert_eq!(first.get(), Some(EVENTS_AT_ONCE as u64));
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_export_thread_is_not_woken() {
        let config = OtlpConfig::builder().signals([Signal::Logs]);
        let config = config.build().unwrap();
        let shared = Shared::new(config.limits(), |_| Some("the receiver".to_owned()));
        let shared = Arc::new(shared);
        let (_commands, received) = unbounded_channel();
        let wakes = AtomicUsize::new(0);
        let pushing = Arc::clone(&shared);
        LocalSet::new()
            .run_until(async {
                let mut worker =
                    Worker::start(shared, config, Processors::default(), BTreeMap::new());
                // One that nobody exports: only the export thread itself is looked at.
                let limits = worker.config.limits();
                worker.pipelines = vec![Pipeline::new(Signal::Logs, &worker.shared, limits)];
                let mut process = pin!(worker.process(received));
                let mut hour = async || {
                    let process = poll_fn(|context| {
                        wakes.fetch_add(1, Relaxed);
                        process.as_mut().poll(context)
                    });
                    timeout(Duration::from_secs(3600), process)
                        .await
                        .unwrap_err();
                    wakes.swap(0, Relaxed)
                };
                assert!(hour().await <= 5, "before the first event");
                pushing.queue.push(ends(1).remove(0));
                assert!(hour().await <= 10, "after an event");
                assert!(hour().await <= 5, "after an hour");
            })
            .await;
    }
}
