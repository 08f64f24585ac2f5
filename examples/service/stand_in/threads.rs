use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, mpsc::Sender},
};

use super::{turn::Signal, usage::Usage};

/// The threads that the server has loaded.
#[derive(Default)]
pub(super) struct Threads(Mutex<HashMap<String, Thread>>);

/// A thread that is loaded.
pub(super) struct Thread {
    /// Whether the program is told the end of each response of the model.
    pub(super) has_raw_events: bool,
    pub(super) used: Usage,
    pub(super) running: Option<Running>,
}

/// The turn that a thread runs.
pub(super) struct Running {
    pub(super) turn_id: String,
    pub(super) signals: Sender<Signal>,
}

impl Threads {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Thread>> {
        // Each change is whole, so a panic leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a turn something. A turn that has ended is told nothing.
    pub(super) fn signal(&self, is_meant: impl Fn(&str, &Running) -> bool, signal: Signal) {
        let threads = self.lock();
        let mut running = threads
            .iter()
            .filter_map(|(id, thread)| Some((id, thread.running.as_ref()?)));
        if let Some((_, running)) = running.find(|(id, running)| is_meant(id, running)) {
            // An error means that the turn is about to end.
            let _ = running.signals.send(signal);
        }
    }

    /// Ends the turn of a thread. From now on the thread can run another one.
    pub(super) fn ended(&self, thread_id: &str, used: Usage) {
        if let Some(thread) = self.lock().get_mut(thread_id) {
            thread.used = used;
            thread.running = None;
        }
    }
}
