//! A `tracing` subscriber that records events.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, LazyLock, Mutex},
};

use tracing::{
    Dispatch, Level, Metadata, Subscriber, field::Visit, span, subscriber::DefaultGuard,
};

/// A `tracing` event.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) target: String,
    pub(crate) level: Level,
    pub(crate) fields: BTreeMap<&'static str, String>,
}

/// A subscriber that records events.
#[derive(Clone, Default)]
pub(crate) struct MockSubscriber {
    pub(crate) recorded: Arc<Mutex<Vec<Recorded>>>,
    /// Panics after it has recorded an event.
    pub(crate) panics: bool,
    /// A target that the subscriber disables.
    pub(crate) disabled: Option<&'static str>,
    /// Whether the subscriber wants warnings and errors alone.
    pub(crate) only_failures: bool,
}

impl MockSubscriber {
    pub(crate) fn events(&self) -> Vec<Recorded> {
        self.recorded
            .lock()
            .expect("no panic under the lock")
            .clone()
    }
}

impl Subscriber for MockSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_failure = *metadata.level() <= Level::WARN;
        self.disabled != Some(metadata.target()) && (is_failure || !self.only_failures)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let recorded = Recorded {
            target: event.metadata().target().to_owned(),
            level: *event.metadata().level(),
            fields: fields.0,
        };
        let mut events = self.recorded.lock().expect("no panic under the lock");
        events.push(recorded);
        drop(events);
        assert!(!self.panics, "the subscriber");
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// Runs `work` with `subscriber` as the default of this thread.
pub(crate) fn with_subscriber<T>(subscriber: &MockSubscriber, work: impl FnOnce() -> T) -> T {
    let _guard = set_subscriber(subscriber);
    work()
}

/// Makes `subscriber` the default of this thread until the guard is dropped.
pub(crate) fn set_subscriber(subscriber: &MockSubscriber) -> DefaultGuard {
    // With a single subscriber, `tracing` caches the interest in a callsite as seen by the first
    // thread that reaches it, for all threads. A second subscriber prevents that.
    static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(MockSubscriber::default()));
    LazyLock::force(&SECOND);
    tracing::subscriber::set_default(subscriber.clone())
}
