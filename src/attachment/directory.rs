use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, renameat, statat, unlinkat},
    io::Errno,
    path::Arg,
};

/// A handle on the store's directory: every file in it is reached through this, by its bare name.
///
/// A path could lead elsewhere the second time; the handle cannot, whatever is renamed around it.
/// None of its calls follows a symbolic link in the directory.
#[derive(Debug)]
pub(super) struct Directory {
    handle: File,
    path: PathBuf,
}

/// What stands in the directory under a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) kind: FileType,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    pub(super) inode: u64,
}

// === impl Directory ===

impl Directory {
    /// Opens the directory, and makes it when it is not there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Absolute: the paths of attachments are handed to processes that start elsewhere.
        let path = std::path::absolute(path)?;
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

    /// Returns what stands under a name, or `None` when nothing does.
    pub(super) fn look(&self, name: impl Arg) -> io::Result<Option<Found>> {
        match statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Found {
                kind: FileType::from_raw_mode(stat.st_mode),
                size: widen(stat.st_size),
                modified: moment(stat.st_mtime, stat.st_mtime_nsec),
                inode: widen(stat.st_ino),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a file or a link, never what it leads to; `false` when it was gone already.
    pub(super) fn remove(&self, name: impl Arg) -> io::Result<bool> {
        match unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a file another name, in place of any file or link that bears it.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.handle, from, &self.handle, to)?)
    }

    /// Creates a file that was not there, which nobody else may write to.
    pub(super) fn create_new(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        self.open_file(name, flags, Mode::RUSR)
    }

    /// Opens a file to write, and creates it for its owner only when it is not there.
    pub(super) fn open_or_create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE;
        self.open_file(name, flags, Mode::RUSR | Mode::WUSR)
    }

    /// Opens a file that is there, to read.
    pub(super) fn open_existing(&self, name: impl Arg) -> io::Result<File> {
        self.open_file(name, OFlags::RDONLY, Mode::empty())
    }

    /// Returns the names in the directory, in no order.
    pub(super) fn names(&self) -> io::Result<Dir> {
        Ok(Dir::read_from(&self.handle)?)
    }

    /// Makes what was renamed outlive a power failure.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn open_file(&self, name: impl Arg, flags: OFlags, mode: Mode) -> io::Result<File> {
        // NONBLOCK, as a pipe planted under the name would otherwise wait for its other end.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(openat(&self.handle, name, flags, mode)?.into())
    }
}

// === impl Found ===

impl Found {
    pub(super) fn is_file(&self) -> bool {
        self.kind == FileType::RegularFile
    }
}

/// The fields of a `stat` have other types on other systems.
fn widen<T>(field: impl TryInto<T>) -> T
where
    T: Default,
{
    field.try_into().unwrap_or_default()
}

fn moment(seconds: impl TryInto<i64>, nanos: impl TryInto<u32>) -> SystemTime {
    let seconds: i64 = widen(seconds);
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        UNIX_EPOCH.checked_sub(whole)
    } else {
        UNIX_EPOCH.checked_add(whole)
    };
    time.unwrap_or(UNIX_EPOCH) + Duration::new(0, widen(nanos))
}
