use std::{
    sync::mpsc,
    thread,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanEvents, SpanLinks},
};

use super::{ProbeError, ProbeErrorKind};
use crate::{
    event::id,
    otlp::{config::OtlpConfig, exporter, names},
};

/// The name of the span that a probe sends.
const SPAN: &str = "codex.telemetry.probe";

/// Sends one span by the way that `config` gives to traces, and waits for what becomes of it.
///
/// Blocks the thread for as long as `within`. It needs no sink and disturbs none.
///
/// # Errors
///
/// [`ProbeError`] says what is wrong, and where.
///
/// ```
/// use codex_telemetry::otlp::{OtlpConfig, ProbeErrorKind, probe};
/// use std::time::Duration;
///
/// // Nothing listens on port 9 as a rule.
/// let config = OtlpConfig::builder().endpoint("http://127.0.0.1:9").build()?;
/// let error = probe(&config, Duration::from_secs(5)).unwrap_err();
/// assert_eq!(error.kind(), ProbeErrorKind::Refused);
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
pub fn probe(config: &OtlpConfig, within: Duration) -> Result<(), ProbeError> {
    let Some(traces) = config.traces().cloned() else {
        return Err(ProbeError {
            kind: ProbeErrorKind::Off,
            detail: "traces are not exported by this configuration".to_owned(),
        });
    };
    let resource = Resource::builder_empty()
        .with_attributes(config.resource_attributes().to_vec())
        .build();
    let endpoint = traces.endpoint().to_string();
    let probed = endpoint.clone();
    let (answer, told) = mpsc::channel();
    // A thread and a runtime of its own, as for the export: the caller may have either or none.
    let spawned = thread::Builder::new()
        .name("codex-telemetry-probe".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let told = match runtime {
                Err(error) => Err(ProbeError::config(error.to_string())),
                Ok(runtime) => {
                    let sent = runtime.block_on(async {
                        let mut exporter = exporter::spans(&traces).map_err(ProbeError::config)?;
                        exporter.exporter.set_resource(&resource);
                        let export = exporter.exporter.export(vec![span()]);
                        ProbeError::judge(&probed, exporter.run(export).await)
                    });
                    runtime.shutdown_background();
                    sent
                }
            };
            // Whoever asked may have stopped waiting.
            let _ = answer.send(told);
        });
    if let Err(error) = spawned {
        return Err(ProbeError::config(error.to_string()));
    }
    told.recv_timeout(within).unwrap_or_else(|_| {
        Err(ProbeError {
            kind: ProbeErrorKind::Timeout,
            detail: format!("{endpoint}: no answer within {within:?}"),
        })
    })
}

fn span() -> SpanData {
    let now = SystemTime::now();
    SpanData {
        span_context: SpanContext::new(
            id::trace_id(),
            id::span_id(),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: SPAN.into(),
        start_time: now,
        end_time: now,
        attributes: vec![KeyValue::new(names::OPERATION, SPAN)],
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder(names::SCOPE).build(),
    }
}
