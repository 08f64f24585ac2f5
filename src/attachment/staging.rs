use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
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
    ///
    /// The caller holds the store's lock.
    pub(super) fn place(&mut self, name: &str, _: &Lock) -> io::Result<()> {
        self.directory.rename(&self.name, name)?;
        self.placed = true;
        // The lock keeps out who asks for it; a link that somebody else put under the old name has been
        // renamed instead of the file.
        let there = self.directory.look(name)?.map(|found| found.inode);
        if there == Some(self.file.metadata()?.ino()) {
            Ok(())
        } else {
            let text = "something else was put in its place while it was staged";
            Err(io::Error::other(text))
        }
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

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, panic::catch_unwind};

    use super::*;

    #[test]
    fn a_panic_while_it_is_written_removes_the_file_and_lets_go_of_the_locks() {
        let dir = tempfile::tempdir().unwrap();
        let panic = catch_unwind(|| {
            let directory = Directory::open(dir.path()).unwrap();
            let staging = Staging::create(&directory).unwrap();
            assert!(dir.path().join(&staging.name).exists());
            let _lock = Lock::acquire(&directory).unwrap();
            panic!("half way");
        });
        assert!(panic.is_err());
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "the lock: {left:?}");
        let lock = File::open(dir.path().join(".lock")).unwrap();
        lock.try_lock().unwrap();
    }

    #[test]
    fn a_link_that_was_swapped_in_is_not_told_to_be_the_attachment() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        let mut staging = Staging::create(&directory).unwrap();
        let path = dir.path().join(&staging.name);
        fs::remove_file(&path).unwrap();
        symlink(&victim, &path).unwrap();
        let lock = Lock::acquire(&directory).unwrap();
        let error = staging.place("attachment", &lock).unwrap_err();
        assert!(error.to_string().contains("something else"), "{error}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }
}
