//! The export thread: its runtime, and the exporters that are at home there.

use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    config::{OtlpConfig, Signal},
    exporter::{self, ExportLogs, ExportMetrics, ExportSpans, Exporter, Nothing},
    worker::{self, Command, End, Exporters, Shared},
};

/// Runs until it is told to end, or until nobody is left to tell it.
pub(super) fn run(
    shared: Shared,
    config: OtlpConfig,
    exporters: Exporters,
    commands: UnboundedReceiver<Command>,
) {
    let _end = End(shared.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::warn!(
                target: "codex_telemetry",
                "nothing is exported, the OTLP sink's runtime could not be started: {error}"
            );
            return;
        }
    };
    runtime.block_on(async {
        // Inside the runtime, where gRPC's connections are at home.
        let exporters = complete(exporters, &config);
        worker::run(shared, config, exporters, commands).await;
    });
    // Not waiting for what an exporter has left on a blocking thread, such as a lookup of a name.
    runtime.shutdown_background();
}

/// Adds the exporters that the configuration asks for.
fn complete(mut exporters: Exporters, config: &OtlpConfig) -> Exporters {
    if let (None, Some(config)) = (&exporters.spans, config.traces()) {
        exporters.spans = Some(exporter::spans(config).unwrap_or_else(|why| {
            broken(
                Signal::Traces,
                why,
                Box::new(Nothing) as Box<dyn ExportSpans>,
            )
        }));
    }
    if let (None, Some(config)) = (&exporters.logs, config.logs()) {
        exporters.logs = Some(exporter::logs(config).unwrap_or_else(|why| {
            broken(Signal::Logs, why, Box::new(Nothing) as Box<dyn ExportLogs>)
        }));
    }
    if let (None, Some(config)) = (&exporters.metrics, config.metrics()) {
        exporters.metrics = Some(exporter::metrics(config).unwrap_or_else(|why| {
            broken(
                Signal::Metrics,
                why,
                Box::new(Nothing) as Box<dyn ExportMetrics>,
            )
        }));
    }
    exporters
}

/// An exporter that could not be started: a warning, and every record counted as failed.
fn broken<E: ?Sized>(signal: Signal, why: String, nothing: Box<E>) -> Exporter<E> {
    tracing::warn!(target: "codex_telemetry", "OTLP {signal} are not exported: {why}");
    Exporter::broken(why, nothing)
}
