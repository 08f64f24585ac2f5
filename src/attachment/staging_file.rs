use std::{fs::File, io, sync::Arc, time::SystemTime};

use rustix::{
    fs::{Mode, OFlags},
    path::Arg,
};

use super::{
    crash_point::crash_point, directory::Directory, lease::Lease, lock::Lock, name, store::Inner,
};

/// A file that is being written. Dropping it before it is placed removes it.
///
/// Its writer holds an exclusive lock on it for its whole life. A staging file without a lock is the
/// leftover of a dead process.
#[derive(Debug)]
pub(super) struct StagingFile {
    // Before the file: the name is removed while the file is locked.
    name: StagingName,
    pub(super) file: File,
}

/// Removes the file with this name when it is dropped, unless it was placed.
#[derive(Debug)]
struct StagingName {
    store: Arc<Inner>,
    name: String,
    is_placed: bool,
}

// === impl StagingFile ===

impl StagingFile {
    /// Creates the file and locks it.
    ///
    /// The caller holds the store's lock: otherwise a sweep between the creation and the lock would take
    /// the file for a leftover.
    pub(super) fn create(store: Arc<Inner>, _: &Lock) -> io::Result<Self> {
        crash_point("the store is locked for the creation");
        loop {
            let name = name::random_staging();
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
            // Read-only for its owner from the start.
            let file = match store.directory.open_file(&*name, flags, Mode::RUSR) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            let name = StagingName {
                store,
                name,
                is_placed: false,
            };
            crash_point("the staging file is created");
            file.try_lock()?;
            crash_point("the staging file is locked");
            return Ok(Self { name, file });
        }
    }

    /// Sets the modification time, and syncs it and the content so that they survive a power failure.
    pub(super) fn seal(&self, modified: SystemTime) -> io::Result<()> {
        self.file.set_modified(modified)?;
        crash_point("the expiry is set");
        self.file.sync_all()?;
        crash_point("the staging file is synced");
        Ok(())
    }

    /// Renames the file to its final name, and replaces an existing file.
    ///
    /// The caller holds the store's lock.
    pub(super) fn place(mut self, file_name: &str, _: &Lock) -> io::Result<()> {
        let directory = &self.name.store.directory;
        directory.rename(&self.name.name, file_name)?;
        self.name.is_placed = true;
        crash_point("the staging file is renamed");
        // The lock is advisory. If another program has put a link in place of the staging file, the link
        // was renamed instead.
        if !self
            .name
            .store
            .directory
            .is_current(file_name, &self.file)?
        {
            let text = "the staging file was replaced while it was written";
            return Err(io::Error::other(text));
        }
        // Not by closing it: a process that is forked at this moment keeps it open, and the file would
        // stay locked exclusively.
        self.file.unlock()
    }
}

impl Drop for StagingName {
    fn drop(&mut self) {
        if !self.is_placed {
            // If this fails, the next sweep removes the file as a leftover.
            let _ = self.store.directory.remove(&self.name);
        }
    }
}

/// Removes a staging file whose writer is dead, and returns its size. Returns `None` if it is in use,
/// missing, or not a regular file.
///
/// The caller holds the store's lock.
pub(super) fn remove_leftover(
    directory: &Directory,
    name: impl Arg + Copy,
    _: &Lock,
) -> io::Result<Option<u64>> {
    // Checked before it is opened: opening a device can have effects.
    match directory.metadata(name)? {
        Some(metadata) if metadata.is_file() => {}
        _ => return Ok(None),
    }
    // A shared lock shows that no writer holds the file, and needs no write permission.
    let Some(locked) = Lease::try_of(directory, name)? else {
        return Ok(None);
    };
    let size = locked.metadata()?.len();
    // The file may have been placed since it was opened. Then the name is missing.
    Ok(directory.remove(name)?.then_some(size))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::symlink,
        panic::{AssertUnwindSafe, catch_unwind},
        path::Path,
    };

    use super::*;
    use crate::attachment::{
        AttachmentError, AttachmentStore, blocking::CancellationToken, lock::Wait,
    };

    fn open(path: &Path) -> Arc<Inner> {
        AttachmentStore::open(path).unwrap().0
    }

    fn lock(store: &Inner) -> Lock {
        let failed = AttachmentError::io("lock", store.directory.path());
        let token = CancellationToken::default();
        Lock::acquire(&store.directory, Wait::new(&token), failed).unwrap()
    }

    fn create(store: &Arc<Inner>) -> StagingFile {
        StagingFile::create(Arc::clone(store), &lock(store)).unwrap()
    }

    #[test]
    fn a_panic_while_a_file_is_staged_removes_it_and_releases_the_locks() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let staging = create(&store);
            assert!(dir.path().join(&staging.name.name).exists());
            let _lock = lock(&store);
            panic!("in the middle of a stage");
        }));
        assert!(panic.is_err());
        let entries: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(entries.len(), 1, "only the lock file is left: {entries:?}");
        let lock = File::open(dir.path().join(".lock")).unwrap();
        lock.try_lock().unwrap();
    }

    #[test]
    fn a_link_in_place_of_the_staging_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let store = open(dir.path());
        let staging = create(&store);
        let path = dir.path().join(&staging.name.name);
        fs::remove_file(&path).unwrap();
        symlink(&victim, &path).unwrap();
        let error = staging.place("attachment", &lock(&store)).unwrap_err();
        assert!(error.to_string().contains("was replaced"), "{error}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }
}
