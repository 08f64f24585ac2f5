//! The export thread: a runtime of its own, which takes events out of the queue and hands them to a lane
//! for each signal.

use std::{
    future::Future,
    rc::Rc,
    sync::{Arc, PoisonError, mpsc},
    thread,
};

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::Resource;
use tokio::{task::LocalSet, time::Instant};

use super::{
    books::{Books, Stats},
    config::{OtlpConfig, Signal},
    delivery::Delivery,
    exporter::{ExportLogs, ExportMetrics, ExportSpans, Exporter},
    lane::{self, Backlog},
    log::LogRecords,
    metrics::Metrics,
    names,
    queue::{Queue, is_span},
    report::Undelivered,
    span,
};
use crate::event::Event;

/// What the sink's handles ask of the export thread.
pub(super) enum Command {
    Flush(Request),
    Shutdown(Request),
}

pub(super) struct Request {
    pub(super) deadline: std::time::Instant,
    pub(super) answer: mpsc::Sender<Result<(), Undelivered>>,
}

/// What both halves share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) queue: Arc<Queue>,
    pub(super) books: Arc<Books>,
}

/// What a flush or a shutdown waits for in one lane.
struct Awaited {
    signal: Signal,
    lane: Rc<Backlog>,
    /// How many records the lane had taken in.
    target: u64,
    /// How many it had lost by then, and how many more found no room.
    lost: u64,
    overflown: u64,
}

/// However the export thread ends, what it leaves behind is booked.
pub(super) struct End(pub(super) Shared);

/// The exporters as far as there are any.
#[derive(Default)]
pub(super) struct Exporters {
    pub(super) spans: Option<Exporter<dyn ExportSpans>>,
    pub(super) logs: Option<Exporter<dyn ExportLogs>>,
    pub(super) metrics: Option<Exporter<dyn ExportMetrics>>,
}

/// What a delivery is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To tell of what was accepted until now.
    Flush,
    /// To tell of everything. Metrics go last: the books are among them, and the last ones are to be
    /// those of the end.
    Shutdown,
}

struct Worker {
    shared: Shared,
    config: OtlpConfig,
    traces: Option<Rc<Backlog>>,
    logs: Option<Rc<Backlog>>,
    metrics: Option<(Rc<Backlog>, Rc<Metrics>)>,
    buffer: Vec<Event>,
}

/// Runs the export until it is told to end.
pub(super) async fn run(
    shared: Shared,
    config: OtlpConfig,
    exporters: Exporters,
    mut commands: tokio::sync::mpsc::UnboundedReceiver<Command>,
) {
    let tasks = LocalSet::new();
    let mut worker = Worker::start(shared, config, exporters, &tasks);
    let delay = worker.config.schedule_delay();
    let queue = Arc::clone(&worker.shared.queue);
    let last = tasks
        .run_until(async {
            loop {
                tokio::select! {
                    () = queue.batch() => worker.distribute(),
                    () = tokio::time::sleep(delay) => worker.distribute(),
                    command = commands.recv() => match command {
                        Some(Command::Flush(request)) => worker.flush(request),
                        Some(Command::Shutdown(request)) => break Some(request),
                        None => break None,
                    },
                }
            }
        })
        .await;
    if let Some(Request { deadline, answer }) = last {
        let told = tasks
            .run_until(worker.deliver(deadline.into(), Purpose::Shutdown))
            .await;
        worker.shared.give_up("the sink was shut down first");
        // Whoever asked may have stopped waiting.
        let _ = answer.send(told);
    }
}

impl Shared {
    /// Books what is left as failed: nobody exports it any more.
    pub(super) fn give_up(&self, why: &str) {
        let closing = &self.books.closing;
        let _alone = closing.lock().unwrap_or_else(PoisonError::into_inner);
        self.queue.close();
        let stats = Stats::new(&self.queue, &self.books);
        for signal in Signal::ALL {
            let (account, left) = (self.books.of(signal), stats.of(signal).pending());
            if left > 0 {
                let last = account.last_problem();
                account.failed(left, last.as_deref().unwrap_or(why));
            }
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if thread::panicking() {
            const WHY: &str = "the export thread panicked";
            tracing::warn!(target: "codex_telemetry", "nothing is exported any more: {WHY}");
            for signal in Signal::ALL {
                self.0.books.of(signal).problem(WHY);
            }
        }
        self.0.give_up("the export thread has ended");
    }
}

impl Worker {
    fn start(shared: Shared, config: OtlpConfig, exporters: Exporters, tasks: &LocalSet) -> Self {
        let scope = InstrumentationScope::builder(names::SCOPE)
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let resource = Resource::builder_empty()
            .with_attributes(config.resource_attributes().to_vec())
            .build();
        let capacity = config.queue_capacity();
        let batch_size = config.batch_size();

        let traces = exporters.spans.map(|mut exporter| {
            exporter.exporter.set_resource(&resource);
            let (backlog, books) = (Backlog::new(capacity), Arc::clone(&shared.books));
            let (waiting, scope) = (Rc::clone(&backlog), scope.clone());
            tasks.spawn_local(async move {
                let export = async |batch: &[Event]| {
                    let spans = batch
                        .iter()
                        .map(|event| span::span(event, &scope))
                        .collect();
                    exporter.run(exporter.exporter.export(spans)).await
                };
                lane::export_events(&waiting, &books.traces, batch_size, export).await;
            });
            backlog
        });
        let logs = exporters.logs.map(|mut exporter| {
            exporter.exporter.set_resource(&resource);
            let (backlog, books) = (Backlog::new(capacity), Arc::clone(&shared.books));
            let (waiting, records) = (Rc::clone(&backlog), LogRecords::new(scope.clone()));
            tasks.spawn_local(async move {
                let export = async |batch: &[Event]| {
                    let batch: Vec<_> = batch.iter().map(|event| records.record(event)).collect();
                    let export = async |batch: opentelemetry_sdk::logs::LogBatch<'_>| {
                        exporter.run(exporter.exporter.export(batch)).await
                    };
                    records.batch(&batch, export).await
                };
                lane::export_events(&waiting, &books.logs, batch_size, export).await;
            });
            backlog
        });
        let metrics = exporters.metrics.map(|exporter| {
            let temporality = exporter.exporter.temporality();
            let Shared { queue, books } = &shared;
            let metrics = Rc::new(Metrics::new(resource, scope, temporality, queue, books));
            let (backlog, books) = (Backlog::new(capacity), Arc::clone(books));
            let (waiting, measured) = (Rc::clone(&backlog), Rc::clone(&metrics));
            let interval = config.metric_interval();
            tasks.spawn_local(async move {
                let export = async || match measured.collect() {
                    Ok(totals) => exporter.run(exporter.exporter.export(&totals)).await,
                    Err(problem) => Delivery::Refused { problem },
                };
                lane::export_totals(&waiting, &books.metrics, interval, export).await;
            });
            (backlog, metrics)
        });
        Self {
            shared,
            config,
            traces,
            logs,
            metrics,
            buffer: Vec::new(),
        }
    }

    /// Takes what is in the queue, and hands it to the lanes.
    fn distribute(&mut self) {
        let unheard = self.shared.queue.take(&mut self.buffer);
        if let Some((_, metrics)) = &self.metrics {
            for (operation, step) in unheard {
                metrics.under_way(operation, step);
            }
        }
        let books = &self.shared.books;
        for event in self.buffer.drain(..) {
            if let Some((backlog, metrics)) = &self.metrics {
                backlog.count();
                metrics.measure(&event);
            }
            if let Some(backlog) = &self.traces
                && is_span(&event)
            {
                backlog.push(event.clone(), &books.traces);
            }
            if let Some(backlog) = &self.logs {
                backlog.push(event, &books.logs);
            }
        }
        for backlog in [&self.traces, &self.logs].into_iter().flatten() {
            backlog.arrived();
        }
    }

    /// Answers a flush without holding up the distribution: it is a task of its own.
    fn flush(&mut self, request: Request) {
        let delivered = self.deliver(request.deadline.into(), Purpose::Flush);
        tokio::task::spawn_local(async move {
            // Whoever asked may have stopped waiting.
            let _ = request.answer.send(delivered.await);
        });
    }

    /// Waits until everything that was accepted by now is exported or failed, and tells what was not
    /// exported.
    fn deliver(
        &mut self,
        deadline: Instant,
        purpose: Purpose,
    ) -> impl Future<Output = Result<(), Undelivered>> + use<> {
        let overflown: Vec<_> = self.lanes().map(|(_, lane)| lane.overflown()).collect();
        self.distribute();
        let awaited: Vec<_> = self
            .lanes()
            .zip(overflown)
            .map(|((signal, lane), overflown)| Awaited {
                signal,
                lane: Rc::clone(lane),
                target: lane.received(),
                lost: lane.lost(),
                // What found no room just now; what will find none later is not this request's.
                overflown: lane.overflown() - overflown,
            })
            .collect();
        let books = Arc::clone(&self.shared.books);
        async move {
            let settled = async |wanted: fn(Signal) -> bool| {
                let wanted = || awaited.iter().filter(|awaited| wanted(awaited.signal));
                wanted().for_each(|awaited| awaited.lane.urge());
                for Awaited { lane, target, .. } in wanted() {
                    lane.settled(*target).await;
                }
            };
            if purpose == Purpose::Shutdown {
                // But not too late, when the others do not come to an end.
                let half = Instant::now() + deadline.duration_since(Instant::now()) / 2;
                let others = settled(|signal| signal != Signal::Metrics);
                let _ = tokio::time::timeout_at(half, others).await;
            }
            let _ = tokio::time::timeout_at(deadline, settled(|_| true)).await;
            let mut undelivered = Undelivered::default();
            for awaited in &awaited {
                let failed = match purpose {
                    Purpose::Flush => awaited.overflown + awaited.lane.lost() - awaited.lost,
                    // The last word: what failed at any time, and was not told of.
                    Purpose::Shutdown => awaited.lane.untold(),
                };
                awaited.lane.tell(failed);
                let pending = awaited.lane.unsettled(awaited.target);
                let why = books.of(awaited.signal).why(failed, pending);
                undelivered.add(awaited.signal, failed, pending, why);
            }
            undelivered.into_result()
        }
    }

    fn lanes(&self) -> impl Iterator<Item = (Signal, &Rc<Backlog>)> {
        let metrics = self.metrics.as_ref().map(|(backlog, _)| backlog);
        [
            (Signal::Traces, self.traces.as_ref()),
            (Signal::Metrics, metrics),
            (Signal::Logs, self.logs.as_ref()),
        ]
        .into_iter()
        .filter_map(|(signal, backlog)| Some((signal, backlog?)))
    }
}
