use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
};

use super::directory::Directory;

/// The name of a store's lock file.
pub(super) const LOCK_FILE: &str = ".lock";

/// The store's lock, which keeps a sweep from removing an attachment that a stage has just extended.
///
/// It is advisory, excludes other processes as well, and is released by the system when its holder
/// dies.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub(super) struct Lock(File);

/// The number of stages so far, as counted in one lock file.
///
/// If two counts are equal, nothing was staged in between, and what a sweep has read is up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StageCount {
    lock_inode: u64,
    count: u64,
}

// === impl Lock ===

impl Lock {
    /// Waits for the lock.
    pub(super) fn acquire(directory: &Directory) -> io::Result<Self> {
        loop {
            // Opened each time: the lock belongs to the open file, so threads that share one do not
            // exclude each other.
            let file = directory.open_or_create(LOCK_FILE)?;
            lock_file(&file)?;
            let lock = Self(file);
            // Tries again if the file was replaced during the wait: other processes lock the new one.
            let current = directory.metadata(LOCK_FILE)?.map(|file| file.inode);
            if current == Some(lock.0.metadata()?.ino()) {
                return Ok(lock);
            }
        }
    }

    /// Returns the number of stages so far.
    pub(super) fn stage_count(&self) -> io::Result<StageCount> {
        let mut count = [0; 8];
        match self.0.read_exact_at(&mut count, 0) {
            // A new lock file is empty.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => count = [0; 8],
            read => read?,
        }
        Ok(StageCount {
            lock_inode: self.0.metadata()?.ino(),
            count: u64::from_le_bytes(count),
        })
    }

    /// Counts a stage. Must be called before the stage extends or replaces an attachment.
    pub(super) fn count_stage(&self) -> io::Result<()> {
        let count = self.stage_count()?.count.wrapping_add(1);
        self.0.write_all_at(&count.to_le_bytes(), 0)
    }

    /// Returns the locked file.
    pub(super) fn file(&self) -> &File {
        &self.0
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
