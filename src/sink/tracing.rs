use tracing::{Level, enabled, event};

use super::Sink;
use crate::event::{Event, Outcome, millis};

/// Hands events to `tracing`, under the target `codex_telemetry::events`.
///
/// | event | level |
/// |---|---|
/// | start | debug |
/// | stop | info |
/// | exception: cancelled | info |
/// | exception: error | warn |
/// | exception: panic | error |
///
/// It emits into whatever `tracing` span the caller is in, and makes none of its own. While no
/// subscriber wants the target at all, the sink is off. Attributes are left out.
///
/// ```
/// use codex_telemetry::{Call, Operation, TimingLayer, TracingSink};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// tracing_subscriber::fmt().with_writer(std::io::stderr).init();
/// let layer = TimingLayer::new(TracingSink::new());
/// # let _ = layer.layer(service_fn(|_: Call<()>| async { Ok::<_, ()>(Operation::Turn) }));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingSink;

macro_rules! hand_over {
    ($level:expr, $event:ident) => {
        event!(
            target: "codex_telemetry::events",
            $level,
            event = &*$event.name(),
            name = $event.call_name(),
            outcome = $event.outcome().map(|o| o.as_str()),
            duration_ms = $event.duration().map(millis),
            error_class = $event.error_class().map(|c| c.as_str()),
            error_message = $event.error_message(),
            originator = $event.originator().map(|o| o.as_str()),
            thread_id = $event.thread_id(),
            turn_id = $event.turn_id(),
            call_id = $event.call_id(),
            attempt = $event.attempt(),
            trace_id = %$event.trace_id(),
            span_id = %$event.span_id(),
        )
    };
}

impl TracingSink {
    /// Returns the sink.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Sink for TracingSink {
    fn emit(&self, event: Event) {
        // The level of a `tracing` event is fixed where it is written, hence an arm for each.
        match event.outcome() {
            None => hand_over!(Level::DEBUG, event),
            Some(Outcome::Ok | Outcome::Cancelled) => hand_over!(Level::INFO, event),
            Some(Outcome::Error) => hand_over!(Level::WARN, event),
            Some(Outcome::Panic) => hand_over!(Level::ERROR, event),
        }
    }

    fn enabled(&self) -> bool {
        // Whoever wants any of the levels wants the highest.
        enabled!(target: "codex_telemetry::events", Level::ERROR)
    }
}
