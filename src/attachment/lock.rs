use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
};

use super::{directory::Directory, name::LOCK};

/// The lock that keeps a sweep from removing what a stage has just extended.
///
/// It is advisory, held across processes, and the system lets go of it when its holder dies.
#[derive(Debug)]
#[must_use = "the lock is let go when this is dropped"]
pub(super) struct Lock(File);

/// How many stages there were, by the count in one lock file.
///
/// While two are equal nothing was staged between them, so what a sweep has seen still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stages {
    lock: u64,
    count: u64,
}

impl Lock {
    /// Waits for the lock.
    pub(super) fn acquire(directory: &Directory) -> io::Result<Self> {
        loop {
            // Opened each time: the lock belongs to the open file, so that threads which shared one
            // would not exclude each other.
            let file = directory.open_or_create(LOCK)?;
            wait_for(&file)?;
            let lock = Self(file);
            // A file that was removed or replaced while we waited excludes nobody who opens it now.
            let there = directory.look(LOCK)?.map(|found| found.inode);
            if there == Some(lock.0.metadata()?.ino()) {
                return Ok(lock);
            }
        }
    }

    /// Returns how many stages there were.
    pub(super) fn stages(&self) -> io::Result<Stages> {
        let mut count = [0; 8];
        match self.0.read_exact_at(&mut count, 0) {
            // Nobody has counted yet.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => count = [0; 8],
            read => read?,
        }
        Ok(Stages {
            lock: self.0.metadata()?.ino(),
            count: u64::from_le_bytes(count),
        })
    }

    /// Counts a stage; to be done before anything in the directory is extended or replaced.
    pub(super) fn count_stage(&self) -> io::Result<()> {
        let count = self.stages()?.count.wrapping_add(1);
        self.0.write_all_at(&count.to_le_bytes(), 0)
    }

    /// Returns the file that is locked.
    pub(super) fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Explicitly: a process that is being forked at this moment holds the file open as well, and
        // with it a lock that ends by closing.
        let _ = self.0.unlock();
    }
}

/// Waits for the lock on a file; a signal that comes meanwhile is no reason to give up.
pub(super) fn wait_for(file: &File) -> io::Result<()> {
    loop {
        match file.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
