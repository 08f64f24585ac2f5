use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::FileExt,
    time::SystemTime,
};

use rustix::{
    fs::{Mode, OFlags},
    path::Arg,
};

use super::{
    AttachmentError,
    blocking::CancellationToken,
    crash_point::crash_point,
    directory::Directory,
    hash::{BUFFER_SIZE, Hash},
    lock::{LockedFile, Wait},
};

/// A lease of an attachment: a shared lock on its file.
///
/// A sweep removes only what it can lock exclusively, and a stage replaces only such a file. The system
/// releases the lock when the process dies.
#[derive(Debug)]
#[must_use = "the lease ends when this is dropped"]
pub(super) struct Lease(LockedFile);

/// What a sweep or a stage gets of a file that it wants to remove or replace.
///
/// The caller holds the store's lock.
#[derive(Debug)]
pub(super) enum Claim {
    /// Nobody leases the file, and nobody can while the file stays open: it is locked exclusively.
    Free {
        _locked: File,
    },
    Leased,
    Missing,
}

// === impl Lease ===

impl Lease {
    /// Takes a lease of a file. Returns `None` if the file is missing.
    pub(super) fn of(
        directory: &Directory,
        file_name: &str,
        wait: Wait<'_>,
        failed: impl Fn(io::Error) -> AttachmentError + Copy,
    ) -> Result<Option<Self>, AttachmentError> {
        let open = || open(directory, file_name);
        // It waits for a sweep that is about to remove the file, or a stage that is about to replace it.
        let file = wait.lock(directory, file_name, open, File::try_lock_shared, failed)?;
        Ok(file.map(Self))
    }

    /// Takes a lease of a file. Returns `None` if the file is missing, or locked exclusively.
    pub(super) fn try_of(directory: &Directory, file_name: impl Arg) -> io::Result<Option<Self>> {
        let Some(file) = open(directory, file_name)? else {
            return Ok(None);
        };
        let locked = LockedFile::new(file, File::try_lock_shared)?;
        Ok(locked.map(Self))
    }

    /// Returns whether the file has this content. Its other names, such as those of a backup made of hard
    /// links, do not count: a replaced file would lose its leases.
    pub(super) fn is_intact(&self, hash: &str, token: &CancellationToken) -> io::Result<bool> {
        let mut hasher = Hash::default();
        let mut buffer = vec![0; BUFFER_SIZE];
        while token.check().is_ok() {
            match self.file().read_at(&mut buffer, hasher.size()) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(hasher.to_hex() == hash)
    }

    /// Sets the modification time of the file, and syncs it so that it survives a power failure.
    pub(super) fn seal(&self, modified: SystemTime) -> io::Result<()> {
        self.file().set_modified(modified)?;
        crash_point("the expiry of the leased attachment is set");
        self.file().sync_all()?;
        crash_point("the leased attachment is synced");
        Ok(())
    }

    pub(super) fn file(&self) -> &File {
        self.0.file()
    }

    pub(super) fn metadata(&self) -> io::Result<std::fs::Metadata> {
        self.file().metadata()
    }
}

// === impl Claim ===

impl Claim {
    pub(super) fn of(directory: &Directory, file_name: impl Arg) -> io::Result<Self> {
        let Some(file) = open(directory, file_name)? else {
            return Ok(Self::Missing);
        };
        match file.try_lock() {
            Ok(()) => Ok(Self::Free { _locked: file }),
            Err(TryLockError::WouldBlock) => Ok(Self::Leased),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn open(directory: &Directory, file_name: impl Arg) -> io::Result<Option<File>> {
    match directory.open_file(file_name, OFlags::RDONLY, Mode::empty()) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
