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
pub(super) struct Lock {
    _file: LockedFile,
}

/// A file with a lock, which is released when this is dropped.
#[derive(Debug)]
pub(super) struct LockedFile(File);

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
        let open = || open(directory).map(Some);
        let file = wait.lock(directory, LOCK_FILE, open, File::try_lock, failed)?;
        // The file is created if it is missing.
        let missing = || failed(io::ErrorKind::NotFound.into());
        Ok(Self {
            _file: file.ok_or_else(missing)?,
        })
    }
}

// === impl LockedFile ===

impl LockedFile {
    /// Locks a file by `try_lock`. Returns `None` if others hold a lock that excludes it.
    pub(super) fn new(
        file: File,
        try_lock: impl Fn(&File) -> Result<(), TryLockError>,
    ) -> io::Result<Option<Self>> {
        match try_lock(&file) {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for LockedFile {
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

    /// Opens a file and locks it by `try_lock`. Waits while others hold a lock that excludes it. Returns `None` if
    /// the file is missing.
    pub(super) fn lock(
        mut self,
        directory: &Directory,
        file_name: &str,
        open: impl Fn() -> io::Result<Option<File>>,
        try_lock: impl Fn(&File) -> Result<(), TryLockError>,
        failed: impl Fn(io::Error) -> AttachmentError + Copy,
    ) -> Result<Option<LockedFile>, AttachmentError> {
        loop {
            // Opened each time: the lock belongs to the open file, so threads that share one do not exclude
            // each other.
            let Some(file) = open().map_err(failed)? else {
                return Ok(None);
            };
            match try_lock(&file) {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    self.pause(&directory.path().join(file_name))?;
                    continue;
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            let locked = LockedFile(file);
            // Tries again if the file was replaced during the wait: other processes lock the new one.
            if directory.is_current(file_name, &locked.0).map_err(failed)? {
                return Ok(Some(locked));
            }
        }
    }

    /// Pauses until the next try. Fails if the wait was cancelled or has taken too long.
    fn pause(&mut self, path: &Path) -> Result<(), AttachmentError> {
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
