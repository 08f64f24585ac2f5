//! The pipelines of the signals: what their events become, and who exports them.

use std::{rc::Rc, sync::Arc};

use opentelemetry_sdk::{
    Resource,
    logs::{LogBatch, LogExporter, SdkLogRecord},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{SpanData, SpanExporter},
};

use super::{pipeline::Pipeline, self_metrics::SelfMetrics, worker::Worker};
use crate::{
    event::Event,
    otlp::{
        config::Signal,
        convert::{LogRecords, Metrics, Spans, data_points},
        export::Exporter,
    },
};

impl Worker {
    pub(crate) fn start_traces<E>(&mut self, exporter: Exporter<E>)
    where
        E: SpanExporter + 'static,
    {
        let (pipeline, exporter, _) = self.add_pipeline(Signal::Traces, exporter, E::set_resource);
        let limits = self.config.limits();
        let spans = Spans::new(self.scope.clone(), &limits, Arc::clone(&self.processors));
        let has_processors = !self.processors.is_empty();
        self.exports.spawn_local(async move {
            // The exporter takes the spans of each attempt.
            let export = async |batch: Vec<SpanData>| {
                let export = async |exporter: &E| exporter.export(batch).await;
                exporter.export(export).await
            };
            if has_processors {
                // A processor sees a span once, so each attempt has a copy.
                let convert = |event| spans.span(&event);
                let export = async |batch: &[SpanData]| export(batch.to_vec()).await;
                pipeline.export_events(convert, export).await;
            } else {
                // To make the spans again for a second attempt is rarer than to copy them for the first one.
                let export = async |batch: &[Event]| {
                    let mut made = Vec::with_capacity(batch.len());
                    made.extend(batch.iter().filter_map(|event| spans.span(event)));
                    export(made).await
                };
                pipeline.export_events(Some, export).await;
            }
        });
    }

    pub(crate) fn start_logs<E>(&mut self, exporter: Exporter<E>)
    where
        E: LogExporter + 'static,
    {
        let (pipeline, exporter, _) = self.add_pipeline(Signal::Logs, exporter, E::set_resource);
        let scope = self.scope.clone();
        let records = LogRecords::new(&self.config.limits(), Arc::clone(&self.processors));
        self.exports.spawn_local(async move {
            let convert = |event| records.record(&event);
            let export = async |batch: &[SdkLogRecord]| {
                let batch: Vec<_> = batch.iter().map(|record| (record, &scope)).collect();
                let batch = LogBatch::new(&batch);
                let export = async |exporter: &E| exporter.export(batch).await;
                exporter.export(export).await
            };
            pipeline.export_events(convert, export).await;
        });
    }

    pub(crate) fn start_metrics<E>(&mut self, exporter: Exporter<E>)
    where
        E: PushMetricExporter,
    {
        let (pipeline, exporter, temporality) =
            self.add_pipeline(Signal::Metrics, exporter, |exporter, _| {
                exporter.temporality()
            });
        let temporality = temporality.unwrap_or(Temporality::Cumulative);
        let metrics = Rc::new(Metrics::new(
            &self.config,
            self.resource.clone(),
            self.scope.clone(),
            temporality,
        ));
        let own = SelfMetrics::new(metrics.meter(), &self.shared, &self.config, &self.custom);
        self.metrics = Some(Rc::clone(&metrics));
        let is_delta = temporality != Temporality::Cumulative;
        self.exports.spawn_local(async move {
            let collect = || {
                own.record_exports();
                metrics.collect()
            };
            let export = async |collection: &ResourceMetrics| {
                own.export_began(data_points(collection));
                let export = async |exporter: &E| exporter.export(collection).await;
                let outcome = exporter.export(export).await;
                own.export_ended(&outcome);
                outcome
            };
            pipeline.export_metrics(is_delta, collect, export).await;
        });
    }

    /// Adds a pipeline, and prepares its exporter. If that could not be built, logs a warning.
    fn add_pipeline<E: 'static, T>(
        &mut self,
        signal: Signal,
        mut exporter: Exporter<E>,
        prepare: impl FnOnce(&mut E, &Resource) -> T,
    ) -> (Rc<Pipeline>, Rc<Exporter<E>>, Option<T>) {
        let pipeline = Pipeline::new(signal, &self.shared, self.config.limits());
        self.pipelines.push(Rc::clone(&pipeline));
        let prepared = match &mut exporter.inner {
            Ok(exporter) => Some(prepare(exporter, &self.resource)),
            Err(problem) => {
                pipeline.on_failure(problem, 0);
                None
            }
        };
        let exporter = Rc::new(exporter);
        let ending = Rc::clone(&exporter);
        self.shutdowns.push(Box::new(move || ending.shutdown()));
        (pipeline, exporter, prepared)
    }
}
