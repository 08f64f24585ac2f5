use std::{
    collections::BTreeSet,
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use codex_telemetry::{Event, Sink};
use opentelemetry::TraceId;

use super::{Account, Fault};

/// A sink whose calls are checked when it goes out of scope.
///
/// The first one checks and its clones do not: the test keeps it and the layers get clones. So a call
/// that leaks, and its clone of the sink with it, is found as well.
pub(crate) struct Checked<S> {
    sink: S,
    account: Arc<Mutex<Account>>,
    expected: BTreeSet<Fault>,
    is_first: bool,
}

/// The crate's memory sink, checked.
pub(crate) type MemorySink = Checked<codex_telemetry::MemorySink>;

// === impl Checked ===

impl MemorySink {
    pub(crate) fn new() -> Self {
        Self::default()
    }
}

impl<S> Checked<S> {
    /// Checks what `sink` is told.
    pub(crate) fn over(sink: S) -> Self {
        Self {
            sink,
            account: Arc::default(),
            expected: BTreeSet::new(),
            is_first: true,
        }
    }

    /// Says what will be wrong with a call, because the test wants it so; if it is not, the test fails.
    pub(crate) fn expecting(mut self, fault: Fault) -> Self {
        self.expected.insert(fault);
        self
    }

    pub(crate) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Sink> Sink for Checked<S> {
    fn emit(&self, event: Event) {
        self.account().event(&event);
        self.sink.emit(event);
    }

    fn enabled(&self) -> bool {
        self.sink.enabled()
    }

    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool> {
        self.sink.sample(trace_id, parent_sampled)
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
            account: Arc::clone(&self.account),
            expected: self.expected.clone(),
            is_first: false,
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
        // A test that has failed already has said why.
        if self.is_first && !thread::panicking() {
            self.account().check(&self.expected);
        }
    }
}
