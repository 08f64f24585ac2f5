use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// A lock for each thread: a thread runs one turn at a time. The order is that of the waits.
#[derive(Clone, Debug, Default)]
pub(super) struct ThreadLocks(Arc<Mutex<HashMap<String, Arc<AsyncMutex<()>>>>>);

/// The lock of a thread.
#[derive(Debug)]
pub(super) struct ThreadGuard {
    locks: ThreadLocks,
    thread_id: String,
    /// `None` while this is dropped.
    guard: Option<OwnedMutexGuard<()>>,
}

/// A wait for the lock of a thread. Dropping it gives up the place.
struct Place {
    locks: ThreadLocks,
    thread_id: String,
    /// `None` once the lock is held.
    lock: Option<Arc<AsyncMutex<()>>>,
}

impl ThreadLocks {
    /// Waits until no other turn has the thread.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue.
    pub(super) async fn lock(&self, thread_id: &str) -> ThreadGuard {
        let lock = Arc::clone(self.all().entry(thread_id.to_owned()).or_default());
        let mut place = Place {
            locks: self.clone(),
            thread_id: thread_id.to_owned(),
            lock: Some(Arc::clone(&lock)),
        };
        let guard = lock.lock_owned().await;
        place.lock = None;
        ThreadGuard {
            locks: self.clone(),
            thread_id: thread_id.to_owned(),
            guard: Some(guard),
        }
    }

    /// Forgets the lock of a thread that nobody has or waits for.
    fn forget(&self, thread_id: &str) {
        let mut locks = self.all();
        if locks
            .get(thread_id)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            locks.remove(thread_id);
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<AsyncMutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        self.guard = None;
        self.locks.forget(&self.thread_id);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.lock.take().is_some() {
            self.locks.forget(&self.thread_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task::spawn};

    use super::*;

    #[test]
    fn a_thread_has_one_holder_at_a_time_in_the_order_of_the_waits() {
        let locks = ThreadLocks::default();
        let mut first = spawn(locks.lock("a"));
        let first = assert_ready!(first.poll());
        let mut second = spawn(locks.lock("a"));
        let mut third = spawn(locks.lock("a"));
        assert_pending!(second.poll());
        assert_pending!(third.poll());
        assert_ready!(spawn(locks.lock("b")).poll());
        drop(first);
        assert!(second.is_woken() && !third.is_woken());
        drop(assert_ready!(second.poll()));
        drop(assert_ready!(third.poll()));
    }

    #[test]
    fn a_lock_is_forgotten_after_its_last_holder_and_its_last_wait() {
        let locks = ThreadLocks::default();
        let holder = assert_ready!(spawn(locks.lock("a")).poll());
        let mut wait = Some(spawn(locks.lock("a")));
        assert_pending!(wait.as_mut().map(|wait| wait.poll()).expect("it waits"));
        drop(holder);
        assert_eq!(locks.all().len(), 1);
        // The lock was handed to it, and it is dropped without a poll.
        wait = None;
        assert!(wait.is_none());
        assert_eq!(locks.all().len(), 0);
        drop(locks.lock("b"));
        assert_eq!(locks.all().len(), 0);
    }
}
