use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, renameat, statat, unlinkat},
    io::Errno,
    path::Arg,
};

/// A handle of the store's directory, through which every file in it is reached by its bare name.
///
/// A path leads elsewhere once a directory in it is renamed; the handle does not. No call follows a
/// symbolic link in the directory.
#[derive(Debug)]
pub(super) struct Directory {
    handle: File,
    path: PathBuf,
}

/// The metadata of a directory entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metadata {
    file_type: FileType,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    pub(super) inode: u64,
}

// === impl Directory ===

impl Directory {
    /// Opens the directory and creates it if it is missing.
    ///
    /// The path is absolute, because other processes with other working directories get the paths in it.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = openat(CWD, &path, flags, Mode::empty())?.into();
        Ok(Self { handle, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the metadata of an entry, or `None` if it is missing.
    pub(super) fn metadata(&self, name: impl Arg) -> io::Result<Option<Metadata>> {
        match statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Metadata {
                file_type: FileType::from_raw_mode(stat.st_mode),
                size: convert(stat.st_size),
                // A time before 1970 becomes 1970: it has expired either way.
                modified: UNIX_EPOCH
                    + Duration::new(convert(stat.st_mtime), convert(stat.st_mtime_nsec)),
                inode: convert(stat.st_ino),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns whether an open file is the one that has this name.
    pub(super) fn is_current(&self, name: impl Arg, file: &File) -> io::Result<bool> {
        let current = self.metadata(name)?.map(|metadata| metadata.inode);
        Ok(current == Some(file.metadata()?.ino()))
    }

    /// Removes a file or a symbolic link. Returns `false` if it is missing.
    pub(super) fn remove(&self, name: impl Arg) -> io::Result<bool> {
        match unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Renames a file, and replaces the file or symbolic link that has the new name.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.handle, from, &self.handle, to)?)
    }

    /// Opens a file. `mode` is that of a new file.
    pub(super) fn open_file(&self, name: impl Arg, flags: OFlags, mode: Mode) -> io::Result<File> {
        // NONBLOCK, because opening a FIFO of this name would wait for its other end.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(openat(&self.handle, name, flags, mode)?.into())
    }

    /// Returns the directory's entries, in no order.
    pub(super) fn entries(&self) -> io::Result<Dir> {
        Ok(Dir::read_from(&self.handle)?)
    }

    /// Syncs the directory, so that renames in it survive a power failure.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

// === impl Metadata ===

impl Metadata {
    pub(super) fn is_file(&self) -> bool {
        self.file_type == FileType::RegularFile
    }
}

/// Converts a field of `stat`, whose integer types differ between systems. Returns 0 if it is negative.
fn convert<T: Default>(field: impl TryInto<T>) -> T {
    field.try_into().unwrap_or_default()
}
