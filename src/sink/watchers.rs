use std::task::Waker;

/// Those who wait for a call to begin.
#[derive(Default)]
pub(super) struct Watchers(Vec<Waker>);

// === impl Watchers ===

impl Watchers {
    /// Wakes a waker with the next call, once.
    #[cfg(all(feature = "tracing", any(feature = "otlp", feature = "retry")))]
    pub(super) fn register(&mut self, waker: &Waker) {
        if !self.0.iter().any(|other| other.will_wake(waker)) {
            self.0.push(waker.clone());
        }
    }

    /// Removes all of them, to be woken when the lock is released: a waker may run code that takes it.
    pub(super) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    pub(super) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}
