use std::{
    collections::BTreeSet,
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use codex_telemetry::{Event, Interest, Sink};
use opentelemetry::TraceId;

use super::{CallTracker, Fault};

/// A sink that checks its calls when it is dropped.
///
/// Only the original checks, not its clones: the test keeps the original and gives clones to the
/// layers. So the check also finds a call that leaks together with its clone of the sink.
pub(crate) struct Checked<S> {
    sink: S,
    tracker: Arc<Mutex<CallTracker>>,
    expected: BTreeSet<Fault>,
    is_original: bool,
}

/// A checked version of the crate's memory sink.
pub(crate) type MemorySink = Checked<codex_telemetry::MemorySink>;

// === impl Checked ===

impl MemorySink {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn capturing_content() -> Self {
        Self::over(codex_telemetry::MemorySink::capturing_content())
    }
}

impl<S> Checked<S> {
    /// Checks the events that `sink` receives.
    pub(crate) fn over(sink: S) -> Self {
        Self {
            sink,
            tracker: Arc::default(),
            expected: BTreeSet::new(),
            is_original: true,
        }
    }

    /// Expects a fault, which the test causes on purpose. The test fails if there is none of its kind.
    pub(crate) fn expecting(mut self, fault: Fault) -> Self {
        self.expected.insert(fault);
        self
    }

    pub(crate) fn tracker(&self) -> MutexGuard<'_, CallTracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Sink> Sink for Checked<S> {
    fn emit(&self, event: Event) {
        let has_starts = self.sink.interest() != Interest::ENDS;
        self.tracker().event(&event, has_starts);
        self.sink.emit(event);
    }

    fn emit_start(&self, event: &Event) {
        self.tracker().event(event, true);
        self.sink.emit_start(event);
    }

    fn interest(&self) -> Interest {
        self.sink.interest()
    }

    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool> {
        self.sink.sample(trace_id, parent_sampled)
    }

    fn captures_content(&self, is_sampled: bool) -> bool {
        self.sink.captures_content(is_sampled)
    }
}

impl<S> Deref for Checked<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.sink
    }
}

impl<S: Clone> Clone for Checked<S> {
    fn clone(&self) -> Self {
        Self {
            sink: self.sink.clone(),
            tracker: Arc::clone(&self.tracker),
            expected: self.expected.clone(),
            is_original: false,
        }
    }
}

impl<S: Default> Default for Checked<S> {
    fn default() -> Self {
        Self::over(S::default())
    }
}

impl<S: fmt::Debug> fmt::Debug for Checked<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sink.fmt(f)
    }
}

impl<S> Drop for Checked<S> {
    fn drop(&mut self) {
        // A test that panics has its own message.
        if self.is_original && !thread::panicking() {
            self.tracker().check(&self.expected);
        }
    }
}
