use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustix::{
    fs::{Mode, OFlags},
    path::Arg,
};
use sha2::{Digest, Sha256};

use super::{
    Attachment, AttachmentError, Ttl,
    blocking::CancellationToken,
    crash_point::crash_point,
    directory::Directory,
    lock::{Lock, Wait},
    name,
    store::Inner,
};

const BUFFER_SIZE: usize = 128 << 10;

/// One stage of an attachment.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) source: Source,
    pub(super) name: String,
    pub(super) ttl: Ttl,
    pub(super) store: &'a Inner,
    pub(super) token: &'a CancellationToken,
}

/// The content to stage.
#[derive(Debug)]
pub(super) enum Source {
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// A file that is being written. Dropping it before it is placed removes it.
///
/// Its writer holds a lock on it for its whole life. A staging file without a lock is the leftover
/// of a dead process.
#[derive(Debug)]
struct StagingFile<'a> {
    directory: &'a Directory,
    name: String,
    file: File,
    placed: bool,
}

// === impl Stage ===

impl Stage<'_> {
    /// Stages the attachment.
    ///
    /// It writes a new file even if the store has the content already, and the new file replaces the
    /// old one. So it never changes a file that it did not create: that could be truncated, hard linked
    /// elsewhere, or of another owner.
    pub(super) fn run(&self) -> Result<Attachment, AttachmentError> {
        self.token.check()?;
        let Inner {
            directory,
            time_range,
            ..
        } = self.store;
        let failed = AttachmentError::io("stage an attachment in", directory.path());
        let mut source = self.open()?;
        let lock = Lock::acquire(directory, Wait::new(self.token), failed)?;
        let mut staging = StagingFile::create(directory, &lock).map_err(failed)?;
        drop(lock);
        let (hash, size) = self.copy(&mut source, &staging.file)?;
        let mut expiry = time_range.expiry(self.ttl, self.store.now());
        staging.seal(time_range.encode(expiry)).map_err(failed)?;

        let file_name = name::file_name(&hash, &self.name);
        let path = directory.path().join(&file_name);
        let failed = AttachmentError::io("rename the staged file to", &path);
        let lock = Lock::acquire(directory, Wait::new(self.token), failed)?;
        self.token.check()?;
        // Takes over a longer expiry, and syncs it before the rename: a stage never shortens it.
        if let Some(existing) = directory.metadata(&*file_name).map_err(failed)?
            && existing.is_file()
            && time_range.decode(existing.modified) > expiry
        {
            expiry = time_range.decode(existing.modified);
            staging.seal(existing.modified).map_err(failed)?;
        }
        staging.place(&file_name, &lock).map_err(failed)?;
        drop(lock);
        crash_point("the lock is released");

        directory.sync().map_err(failed)?;
        crash_point("the directory is synced");
        Ok(Attachment::new(path, &self.name, hash, size, expiry))
    }

    fn open(&self) -> Result<Box<dyn Read + '_>, AttachmentError> {
        let path = match &self.source {
            Source::Bytes(bytes) => return Ok(Box::new(bytes.as_slice())),
            Source::File(path) => path,
        };
        let failed = AttachmentError::io("read", path);
        // NONBLOCK, because opening a FIFO would wait for its other end.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(flags).open(path);
        let file = file.map_err(failed)?;
        match file.metadata().map_err(failed)?.is_file() {
            true => Ok(Box::new(file)),
            false => Err(AttachmentError::NotAFile { path: path.clone() }),
        }
    }

    /// Copies the content and returns its hash and its size.
    fn copy(
        &self,
        source: &mut dyn Read,
        mut target: &File,
    ) -> Result<(String, u64), AttachmentError> {
        let source_path = match &self.source {
            Source::Bytes(_) => Path::new(&self.name),
            Source::File(path) => path,
        };
        let directory = self.store.directory.path();
        let write_failed = AttachmentError::io("write an attachment in", directory);
        let limit = self.store.max_size;
        let mut hasher = Sha256::new();
        let mut size = 0;
        let mut buffer = vec![0; BUFFER_SIZE];
        loop {
            self.token.check()?;
            let count = match source.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                count => count.map_err(AttachmentError::io("read", source_path))?,
            };
            if count == 0 {
                break;
            }
            // Checked for each read, because a file can grow while it is copied.
            size += count as u64;
            if size > limit {
                let name = self.name.clone();
                return Err(AttachmentError::TooLarge { name, limit });
            }
            hasher.update(&buffer[..count]);
            target.write_all(&buffer[..count]).map_err(write_failed)?;
            crash_point("a part is written");
        }
        let hash = hasher.finalize();
        let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((hash, size))
    }
}

// === impl StagingFile ===

impl<'a> StagingFile<'a> {
    /// Creates the file and locks it.
    ///
    /// The caller holds the store's lock: otherwise a sweep between the creation and the lock would take
    /// the file for a leftover.
    fn create(directory: &'a Directory, _: &Lock) -> io::Result<Self> {
        crash_point("the store is locked for the creation");
        loop {
            let name = name::random_staging();
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
            // Read-only for its owner from the start.
            let file = match directory.open_file(&*name, flags, Mode::RUSR) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                file => file?,
            };
            let staging = Self {
                directory,
                name,
                file,
                placed: false,
            };
            crash_point("the staging file is created");
            staging.file.try_lock()?;
            crash_point("the staging file is locked");
            return Ok(staging);
        }
    }

    /// Sets the modification time, and syncs it and the content so that they survive a power failure.
    fn seal(&self, modified: SystemTime) -> io::Result<()> {
        self.file.set_modified(modified)?;
        crash_point("the expiry is set");
        self.file.sync_all()?;
        crash_point("the staging file is synced");
        Ok(())
    }

    /// Renames the file to its final name, and replaces an existing file.
    ///
    /// The caller holds the store's lock.
    fn place(&mut self, file_name: &str, _: &Lock) -> io::Result<()> {
        self.directory.rename(&self.name, file_name)?;
        self.placed = true;
        crash_point("the staging file is renamed");
        // The lock is advisory. If another program has put a link in place of the staging file, the link
        // was renamed instead.
        if self.directory.is_current(file_name, &self.file)? {
            Ok(())
        } else {
            let text = "the staging file was replaced while it was written";
            Err(io::Error::other(text))
        }
    }
}

impl Drop for StagingFile<'_> {
    fn drop(&mut self) {
        if !self.placed {
            // If this fails, the next sweep removes the file as a leftover.
            let _ = self.directory.remove(&self.name);
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
    let file = match directory.open_file(name, OFlags::RDONLY, Mode::empty()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    // A shared lock shows that no writer holds the file, and needs no write permission.
    match file.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let size = file.metadata()?.len();
    // The file may have been placed since it was opened. Then the name is missing.
    Ok(directory.remove(name)?.then_some(size))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, panic::catch_unwind};

    use super::*;

    fn lock(directory: &Directory) -> Lock {
        let failed = AttachmentError::io("lock", directory.path());
        let token = CancellationToken::default();
        Lock::acquire(directory, Wait::new(&token), failed).unwrap()
    }

    fn create(directory: &Directory) -> StagingFile<'_> {
        StagingFile::create(directory, &lock(directory)).unwrap()
    }

    #[test]
    fn a_panic_while_a_file_is_staged_removes_it_and_releases_the_locks() {
        let dir = tempfile::tempdir().unwrap();
        let panic = catch_unwind(|| {
            let directory = Directory::open(dir.path().to_owned()).unwrap();
            let staging = create(&directory);
            assert!(dir.path().join(&staging.name).exists());
            let _lock = lock(&directory);
            panic!("in the middle of a stage");
        });
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
        let directory = Directory::open(dir.path().to_owned()).unwrap();
        let mut staging = create(&directory);
        let path = dir.path().join(&staging.name);
        fs::remove_file(&path).unwrap();
        symlink(&victim, &path).unwrap();
        let lock = lock(&directory);
        let error = staging.place("attachment", &lock).unwrap_err();
        assert!(error.to_string().contains("was replaced"), "{error}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }
}
