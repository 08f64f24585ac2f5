//! Records whose calls are over, kept for the next calls.
//!
//! A record is made on the thread of a caller and, with most sinks, let go on another one. An allocator that gets it back
//! there takes a lock, and may return the memory to the system, so that the next burst of calls pays for it again: calls
//! took twice as long in some runs as in others. So each thread keeps some records, and threads that only let records go
//! pass them on to those that need them.

use std::{
    cell::RefCell,
    sync::{Mutex, PoisonError},
};

use super::record::{Record, RecordHandle};

/// The most records that one thread keeps.
const MAX_OWN: usize = 256;
/// How many records a thread passes on, or takes, at once.
const BATCH: usize = MAX_OWN / 2;
/// The most records that wait for any thread, which is about 4 MB. There are as many only if a program has had as many
/// calls and events at the same time.
const MAX_SHARED: usize = 16 * 1024;

thread_local! {
    static OWN: RefCell<Own> = const { RefCell::new(Own(Vec::new())) };
}

static SHARED: Shared = Shared(Mutex::new(Vec::new()));

/// The records of one thread.
struct Own(Vec<RecordHandle>);

/// The records of no thread.
struct Shared(Mutex<Vec<RecordHandle>>);

/// Returns the only handle of a record without content: of this thread, else of all threads, else of a new one.
#[inline]
pub(super) fn take() -> RecordHandle {
    // `Err` while the thread ends.
    let taken = OWN.try_with(|own| own.borrow_mut().take(&SHARED));
    taken.ok().flatten().unwrap_or_else(new)
}

/// Drops a handle. If it is the last one, keeps the record, without what the request and services wrote.
#[inline]
pub(super) fn release(mut record: RecordHandle) {
    if let Some(last) = RecordHandle::get_mut(&mut record) {
        if !last.is_plain() {
            last.clear();
        }
        // `Err` while the thread ends: then the record is freed.
        let _ = OWN.try_with(|own| own.borrow_mut().keep(record, &SHARED));
    }
}

#[cold]
fn new() -> RecordHandle {
    RecordHandle::new(Record::blank())
}

// === impl Own ===

impl Own {
    #[inline]
    fn take(&mut self, shared: &Shared) -> Option<RecordHandle> {
        self.0.pop().or_else(|| self.take_shared(shared))
    }

    #[cold]
    fn take_shared(&mut self, shared: &Shared) -> Option<RecordHandle> {
        let mut shared = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = shared.len().saturating_sub(BATCH);
        self.0.extend(shared.drain(rest..));
        self.0.pop()
    }

    #[inline]
    fn keep(&mut self, record: RecordHandle, shared: &Shared) {
        if self.0.len() == MAX_OWN {
            self.pass_on(shared);
        }
        self.0.push(record);
    }

    /// Passes records on to other threads. Those that would be too many are freed.
    #[cold]
    fn pass_on(&mut self, shared: &Shared) {
        let mut passed = self.0.drain(BATCH..);
        let mut shared = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_SHARED - shared.len();
        shared.extend(passed.by_ref().take(room));
    }
}

#[cfg(test)]
mod tests;
