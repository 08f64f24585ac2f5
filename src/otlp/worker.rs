//! The export thread: a runtime of its own, which takes events out of the queue and hands them to a lane
//! for each signal.

use std::{
    future::Future,
    rc::Rc,
    sync::{Arc, mpsc},
};

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::Resource;
use tokio::{task::LocalSet, time::Instant};

use super::{
    books::{Account, Books, Stats},
    config::{OtlpConfig, Signal},
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

/// The exporters as far as there are any.
#[derive(Default)]
pub(super) struct Exporters {
    pub(super) spans: Option<Exporter<dyn ExportSpans>>,
    pub(super) logs: Option<Exporter<dyn ExportLogs>>,
    pub(super) metrics: Option<Exporter<dyn ExportMetrics>>,
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
        let told = tasks.run_until(worker.deliver(deadline.into())).await;
        worker.give_up();
        // Whoever asked may have stopped waiting.
        let _ = answer.send(told);
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
                    Err(problem) => super::delivery::Delivery::Refused { problem },
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
        self.shared.queue.take(&mut self.buffer);
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
        let delivered = self.deliver(request.deadline.into());
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
    ) -> impl Future<Output = Result<(), Undelivered>> + use<> {
        self.distribute();
        let books = Arc::clone(&self.shared.books);
        let before = Stats::new(&self.shared.queue, &books);
        let lanes: Vec<_> = self
            .lanes()
            .map(|(signal, backlog)| (signal, Rc::clone(backlog), backlog.received()))
            .collect();
        let queue = Arc::clone(&self.shared.queue);
        async move {
            let all = async {
                for (_, backlog, _) in &lanes {
                    backlog.urge();
                }
                for (_, backlog, target) in &lanes {
                    backlog.settled(*target).await;
                }
            };
            let _ = tokio::time::timeout_at(deadline, all).await;
            let after = Stats::new(&queue, &books);
            let mut undelivered = Undelivered::default();
            for (signal, backlog, _) in &lanes {
                let failed = after.of(*signal).failed - before.of(*signal).failed;
                let problem = books.of(*signal).last_problem();
                undelivered.add(*signal, failed, backlog.unsettled(), problem);
            }
            undelivered.into_result()
        }
    }

    /// Books what is left when the thread ends.
    fn give_up(&mut self) {
        self.shared.queue.close();
        self.distribute();
        for (signal, backlog) in self.lanes() {
            let left = backlog.unsettled();
            if left > 0 {
                let account: &Account = self.shared.books.of(signal);
                let last = account.last_problem();
                let why = last.as_deref().unwrap_or("the sink was shut down first");
                account.failed(left, why);
                backlog.settle(left);
            }
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
