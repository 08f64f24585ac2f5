use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
    subscriber::Interest,
};

/// The subscriber of the process, which logs from `INFO` on. It decides on each event anew, as a filter
/// that can be reloaded does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Application(&'static Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How often it was asked about an event, by its target.
    asked: BTreeMap<&'static str, usize>,
    /// The target and the fields of each event.
    events: Vec<(&'static str, String)>,
}

impl Application {
    /// Returns the subscriber, and makes it that of the process.
    pub(crate) fn install() -> Self {
        static INSTALLED: OnceLock<Mutex<State>> = OnceLock::new();
        static ONCE: std::sync::Once = std::sync::Once::new();
        let application = Self(INSTALLED.get_or_init(Mutex::default));
        ONCE.call_once(|| {
            tracing::subscriber::set_global_default(application).expect("it is the only one");
        });
        application
    }

    /// Returns how often it was asked about an event with this target.
    pub(crate) fn asked(self, target: &str) -> usize {
        self.lock().asked.get(target).copied().unwrap_or_default()
    }

    /// Returns whether an event with this target has a field with this text.
    pub(crate) fn logged(self, target: &str, text: &str) -> bool {
        let state = self.lock();
        let mut events = state.events.iter();
        events.any(|(of, fields)| *of == target && fields.contains(text))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Application {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The targets of these tests are static.
        if metadata.target() == "application::disabled" {
            *self
                .lock()
                .asked
                .entry("application::disabled")
                .or_default() += 1;
        }
        *metadata.level() <= Level::INFO && metadata.is_event()
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        let target = event.metadata().target();
        self.lock().events.push((target, fields.0));
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

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}
