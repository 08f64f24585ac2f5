use opentelemetry::Value;
use tracing::{Level, enabled, event};

use super::Sink;
use crate::event::{Event, Interest, Severity, millis, names};

/// A sink that emits each event through `tracing`, with the target `codex_telemetry::events`.
///
/// The level of an event is its [severity](Event::severity). The events belong to the caller's current `tracing`
/// span; the sink creates no spans. Of the attributes they contain one, as the field `phase`: the
/// [phase](crate::Phase) in which a turn ended that did not complete. The sink is disabled while no subscriber is
/// interested in the target.
///
/// ```
/// use codex_telemetry::{Call, Operation, TimingLayer, TracingSink};
/// use std::{fs::File, sync::Mutex};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("program.log");
/// let log = Mutex::new(File::create(&path)?);
/// tracing_subscriber::fmt().with_writer(log).with_ansi(false).init();
///
/// let layer = TimingLayer::new(TracingSink::new());
/// let service = layer.layer(service_fn(|_: Call<()>| async { Err::<(), _>("sold out") }));
/// let _ = service.oneshot(Call::new(Operation::Custom("tickets.buy"), ())).await;
///
/// let log = std::fs::read_to_string(&path)?;
/// assert!(log.contains(r#" INFO codex_telemetry::events: event="tickets.buy.start""#), "{log}");
/// assert!(log.contains(r#" WARN codex_telemetry::events: event="tickets.buy.exception""#), "{log}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingSink;

macro_rules! emit_at {
    ($level:expr, $event:expr) => {{
        let event: &Event = $event;
        event!(
            target: "codex_telemetry::events",
            $level,
            event = &*event.name(),
            name = event.call_name(),
            outcome = event.outcome().map(|o| o.as_str()),
            duration_ms = event.duration().map(millis),
            error_class = event.error_class().map(|c| c.as_str()),
            error_message = event.error_message(),
            phase = phase(event),
            originator = event.originator().map(|o| o.as_str()),
            thread_id = event.thread_id(),
            turn_id = event.turn_id(),
            call_id = event.call_id(),
            attempt = event.attempt(),
            trace_id = %event.trace_id(),
            span_id = %event.span_id(),
        )
    }};
}

impl TracingSink {
    /// Returns a sink.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

/// Returns what a turn waited for that did not complete.
fn phase(event: &Event) -> Option<&str> {
    match event.attribute(names::PHASE)? {
        Value::String(phase) => Some(phase.as_str()),
        _ => None,
    }
}

impl Sink for TracingSink {
    fn emit(&self, event: Event) {
        // The level has to be constant at each call site.
        match event.severity() {
            Severity::Info => emit_at!(Level::INFO, &event),
            Severity::Warn => emit_at!(Level::WARN, &event),
            Severity::Error => emit_at!(Level::ERROR, &event),
        }
    }

    fn emit_start(&self, event: &Event) {
        emit_at!(Level::INFO, event);
    }

    /// Returns what the subscriber wants: nothing, failures, or all events.
    fn interest(&self) -> Interest {
        // A subscriber that is interested in a level is interested in the higher ones.
        if enabled!(target: "codex_telemetry::events", Level::INFO) {
            Interest::ALL
        } else if enabled!(target: "codex_telemetry::events", Level::ERROR) {
            Interest::ENDS
        } else {
            Interest::NONE
        }
    }
}
