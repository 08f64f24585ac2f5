//! What an exporter does not return: the receiver's response.
//!
//! The OTLP exporters return `Ok` for a partial success, and an error without the receiver's message for
//! a failure. Over HTTP, the client of this crate sees the response. The rest is in the log events of the
//! exporters, which go through `tracing`. So each export runs with a subscriber of its own, which collects
//! them. This also keeps them out of the application's log, where a failing exporter would repeat itself
//! every few seconds.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

/// The target of the exporters' log events.
const TARGET: &str = "opentelemetry-otlp";

/// Collects the diagnostics of one exporter, also as a `tracing` subscriber.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collector(Arc<Mutex<Diagnostics>>);

/// The diagnostics of one export.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics {
    /// The status of the HTTP response, or why there was none. `None` if the exporter does not use HTTP.
    pub(crate) http: Option<Result<u16, String>>,
    /// Whether the HTTP client decoded a partial success.
    pub(crate) is_decoded: bool,
    /// The number of records that the receiver rejected in a partial success.
    pub(crate) rejected: u64,
    /// The receiver's message: of a partial success, or of a failure.
    pub(crate) message: Option<String>,
    /// How long the receiver asked to wait.
    pub(crate) retry_after: Option<Duration>,
    /// Whether the exporter could not decode the response.
    pub(crate) is_malformed: bool,
}

impl Collector {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Diagnostics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the diagnostics since the last call.
    pub(crate) fn take(&self) -> Diagnostics {
        std::mem::take(&mut *self.lock())
    }
}

impl Subscriber for Collector {
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == TARGET && metadata.is_event()
    }

    fn event(&self, event: &Event<'_>) {
        let name = event.metadata().name();
        let mut diagnostics = self.lock();
        if name.ends_with(".ResponseParseError") {
            diagnostics.is_malformed = true;
        } else if name.ends_with(".PartialSuccess") || name.ends_with(".ExportFailed") {
            event.record(&mut *diagnostics);
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        // Spans are not enabled, but the trait requires an id.
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

impl Visit for Diagnostics {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name().starts_with("rejected_") {
            self.rejected = u64::try_from(value).unwrap_or_default();
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "error_message" | "grpc_message" if !value.is_empty() => {
                self.message = Some(value.to_owned());
            }
            #[cfg(feature = "grpc")]
            "grpc_details" => self.retry_after = super::grpc::retry_after(value),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
