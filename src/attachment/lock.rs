use std::{fs::File, io, os::unix::fs::MetadataExt};

use rustix::fs::{Mode, OFlags};

use super::directory::Directory;

/// The name of a store's lock file.
pub(super) const LOCK_FILE: &str = ".lock";

/// The store's lock, which keeps a sweep from removing an attachment that a stage has just extended.
///
/// It is advisory, excludes other processes as well, and is released by the system when its holder
/// dies.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub(super) struct Lock(pub(super) File);

// === impl Lock ===

impl Lock {
    /// Waits for the lock.
    pub(super) fn acquire(directory: &Directory) -> io::Result<Self> {
        loop {
            // Opened each time: the lock belongs to the open file, so threads that share one do not
            // exclude each other.
            let flags = OFlags::RDWR | OFlags::CREATE;
            let file = directory.open_file(LOCK_FILE, flags, Mode::RUSR | Mode::WUSR)?;
            lock_file(&file)?;
            let lock = Self(file);
            // Tries again if the file was replaced during the wait: other processes lock the new one.
            let current = directory.metadata(LOCK_FILE)?.map(|file| file.inode);
            if current == Some(lock.0.metadata()?.ino()) {
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

/// Waits for the lock on a file, also when a signal interrupts the wait.
pub(super) fn lock_file(file: &File) -> io::Result<()> {
    loop {
        match file.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
