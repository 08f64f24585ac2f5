use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{Mode, OFlags};

use super::{AttachmentError, blocking::CancellationToken, directory::Directory};

/// The name of a store's lock file.
pub(super) const LOCK_FILE: &str = ".lock";

/// How long a lock may be held by others until a wait for it fails. A sweep holds the store's lock for
/// some milliseconds, so a holder that takes this long is stopped, or hangs on its disk.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The first and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(5));

/// The store's lock, which keeps a sweep from removing an attachment that a stage has just extended.
///
/// It is advisory, excludes other processes as well, and is released by the system when its holder
/// dies.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub(super) struct Lock(File);

/// A wait for a lock: pauses between the tries, which get longer, and a deadline.
///
/// Not a blocking `flock`, which cannot be cancelled: its thread would hold up the end of the runtime
/// for as long as somebody else holds the lock.
#[derive(Debug)]
pub(super) struct Wait<'a> {
    token: &'a CancellationToken,
    timeout: Duration,
    start: Instant,
    pause: Duration,
}

// === impl Lock ===

impl Lock {
    /// Waits for the lock. `failed` adds to an I/O error what failed.
    pub(super) fn acquire(
        directory: &Directory,
        wait: Wait<'_>,
        failed: impl Fn(io::Error) -> AttachmentError + Copy,
    ) -> Result<Self, AttachmentError> {
        let mut wait = wait;
        loop {
            // Opened each time: the lock belongs to the open file, so threads that share one do not
            // exclude each other.
            let file = open(directory).map_err(failed)?;
            loop {
                match file.try_lock() {
                    Ok(()) => break,
                    Err(TryLockError::WouldBlock) => {
                        wait.pause(&directory.path().join(LOCK_FILE))?;
                    }
                    Err(TryLockError::Error(error)) => return Err(failed(error)),
                }
            }
            let lock = Self(file);
            // Tries again if the file was replaced during the wait: other processes lock the new one.
            if directory.is_current(LOCK_FILE, &lock.0).map_err(failed)? {
                return Ok(lock);
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that is forked at this moment keeps it open, and
        // with it the lock.
        let _ = self.0.unlock();
    }
}

// === impl Wait ===

impl<'a> Wait<'a> {
    pub(super) fn new(token: &'a CancellationToken) -> Self {
        Self::at_most(TIMEOUT, token)
    }

    fn at_most(timeout: Duration, token: &'a CancellationToken) -> Self {
        Self {
            token,
            timeout,
            start: Instant::now(),
            pause: PAUSES.0,
        }
    }

    /// Pauses until the next try. Fails if the wait was cancelled or has taken too long.
    pub(super) fn pause(&mut self, path: &Path) -> Result<(), AttachmentError> {
        self.token.check()?;
        if self.start.elapsed() >= self.timeout {
            return Err(AttachmentError::LockTimeout {
                path: path.to_owned(),
                timeout: self.timeout,
            });
        }
        thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(())
    }
}

/// Opens the lock file, and creates it if it is missing.
pub(super) fn open(directory: &Directory) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE;
    directory.open_file(LOCK_FILE, flags, Mode::RUSR | Mode::WUSR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ErrorClass;

    #[test]
    fn a_lock_that_is_held_for_too_long_is_an_error_that_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path().to_owned()).unwrap();
        let token = CancellationToken::default();
        let failed = AttachmentError::io("lock", dir.path());
        let held = Lock::acquire(&directory, Wait::new(&token), failed).unwrap();
        let wait = Wait::at_most(Duration::from_millis(1), &token);
        let error = Lock::acquire(&directory, wait, failed).unwrap_err();
        assert_eq!(error.classification().class, ErrorClass::Timeout);
        let text = error.to_string();
        let path = dir.path().join(LOCK_FILE);
        assert!(text.contains(path.to_str().unwrap()), "{text}");
        assert!(text.contains("`lslocks`"), "{text}");
        drop(held);
        drop(Lock::acquire(&directory, Wait::new(&token), failed).unwrap());
    }
}
