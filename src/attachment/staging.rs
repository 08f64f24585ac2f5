use std::{
    fs::{File, TryLockError},
    io,
};

use rustix::path::Arg;

use super::{
    directory::Directory,
    lock::{self, Lock},
    name::STAGING,
};

/// A file that is being written, and is removed when it is dropped before it has found its place.
///
/// Its writer holds a lock on it for as long as it lives. One that nobody locks was left by a
/// process that died.
#[derive(Debug)]
pub(super) struct Staging<'a> {
    directory: &'a Directory,
    name: String,
    file: File,
    placed: bool,
}

impl<'a> Staging<'a> {
    pub(super) fn create(directory: &'a Directory) -> io::Result<Self> {
        // Without it, a sweep that came between creation and lock would take it for a leftover.
        let _lock = Lock::acquire(directory)?;
        loop {
            let name = format!("{STAGING}{:016x}", fastrand::u64(..));
            let file = match directory.create_new(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            let staging = Self {
                directory,
                name,
                file,
                placed: false,
            };
            lock::wait_for(&staging.file)?;
            return Ok(staging);
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its final name, in place of any other.
    pub(super) fn place(&mut self, name: &str) -> io::Result<()> {
        self.directory.rename(&self.name, name)?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        if !self.placed {
            // What cannot be removed now is a leftover for the next sweep.
            let _ = self.directory.remove(&self.name);
        }
    }
}

/// Removes a staging file whose writer is dead, and returns how large it was.
///
/// The caller holds the store's lock.
pub(super) fn remove_leftover(
    directory: &Directory,
    name: impl Arg + Copy,
    _: &Lock,
) -> io::Result<Option<u64>> {
    // Looked at first: opening what is not a file may do things.
    match directory.look(name)? {
        Some(found) if found.is_file() => {}
        _ => return Ok(None),
    }
    let file = match directory.open_existing(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    // Shared is enough to learn that no writer has it, and needs no right to write.
    match file.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let size = file.metadata()?.len();
    // The lock may be of a file that has found its place since: then nothing bears this name.
    Ok(directory.remove(name)?.then_some(size))
}
