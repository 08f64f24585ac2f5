//! What the exporters say only to their log.
//!
//! The OTLP exporters answer an export with `Ok` also when the receiver refused a part of it, and with
//! an error that leaves out the receiver's words. Both are in their diagnostics, which go through
//! `tracing`. So each export runs under a subscriber of its own, which hears those and nothing else;
//! it also keeps them out of the application's log, where an exporter that fails every few seconds would
//! repeat itself.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
    subscriber::Interest,
};

/// Where the exporters' diagnostics come from.
const TARGET: &str = "opentelemetry-otlp";

#[derive(Clone, Debug, Default)]
pub(super) struct Ear(Arc<Mutex<Heard>>);

/// What was said during one export.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// How many records the receiver refused of an export that it took otherwise.
    pub(super) rejected: u64,
    /// The receiver's words: of a partial success, or of a gRPC error.
    pub(super) words: Option<String>,
    /// How long the receiver asked to wait, by gRPC.
    pub(super) retry_after: Option<Duration>,
    /// Whether the receiver's answer could not be read.
    pub(super) garbled: bool,
}

impl Ear {
    /// Forgets what was heard before, and gives it.
    pub(super) fn take(&self) -> Heard {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Subscriber for Ear {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == TARGET && metadata.is_event()
    }

    fn event(&self, event: &Event<'_>) {
        let name = event.metadata().name();
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if name.ends_with(".ResponseParseError") {
            heard.garbled = true;
        } else if name.ends_with(".PartialSuccess") || name.ends_with(".ExportFailed") {
            event.record(&mut *heard);
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        // No span is enabled, so none is made; an id has to be one all the same.
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

impl Visit for Heard {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name().starts_with("rejected_") {
            self.rejected = u64::try_from(value).unwrap_or_default();
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "error_message" | "grpc_message" if !value.is_empty() => {
                self.words = Some(value.to_owned());
            }
            #[cfg(feature = "grpc")]
            "grpc_details" => self.retry_after = super::grpc::retry_after(value),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
