use std::{io, path::Path, time::SystemTime};

use super::{
    Attachment, AttachmentError,
    blocking::Abandoned,
    directory::Directory,
    expiry::Horizon,
    lock::Lock,
    name::{self, Kind},
};
use crate::event::Clock;

/// What the handles of a store share, for stages and sweeps on blocking threads.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) directory: Directory,
    pub(super) horizon: Horizon,
    pub(super) max_size: u64,
    clock: Option<Clock>,
}

impl Inner {
    pub(super) fn open(
        directory: &Path,
        max_size: u64,
        clock: Option<Clock>,
    ) -> Result<Self, AttachmentError> {
        let failed = || AttachmentError::io("open the attachment store in", directory);
        let directory = Directory::open(directory).map_err(failed())?;
        let horizon = horizon_of(&directory).map_err(failed())?;
        Ok(Self {
            directory,
            horizon,
            max_size,
            clock,
        })
    }

    pub(super) fn now(&self) -> SystemTime {
        match &self.clock {
            // Read outright, not through `Clock`: that one may be a second late to see a step, and
            // here one read more costs nothing.
            None => SystemTime::now(),
            Some(clock) => clock.wall(clock.now()).to_system(),
        }
    }

    pub(super) fn list(&self, abandoned: &Abandoned) -> Result<Vec<Attachment>, AttachmentError> {
        let root = self.directory.path();
        let failed = || AttachmentError::io("list the attachments in", root);
        let mut list = Vec::new();
        for entry in self.directory.names().map_err(failed())? {
            abandoned.check()?;
            let entry = entry.map_err(io::Error::from).map_err(failed())?;
            let Kind::Attachment { hash, name } = name::kind_of(entry.file_name().to_bytes())
            else {
                continue;
            };
            let found = self.directory.look(entry.file_name()).map_err(failed())?;
            if let Some(found) = found.filter(|found| found.is_file()) {
                list.push(Attachment {
                    path: root.join(name::file_name(hash, name)),
                    name: name.to_owned(),
                    hash: hash.to_owned(),
                    size: found.size,
                    expiry: self.horizon.read(found.modified),
                });
            }
        }
        list.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(list)
    }
}

/// Finds out which times the directory's file system can hold, by the lock file's own.
fn horizon_of(directory: &Directory) -> io::Result<Horizon> {
    let lock = Lock::acquire(directory)?;
    lock.file().set_modified(Horizon::probe())?;
    let held = lock.file().metadata()?.modified()?;
    Horizon::of(held, SystemTime::now()).ok_or_else(|| {
        let text = "its file system cannot hold a modification time in the future";
        io::Error::new(io::ErrorKind::Unsupported, text)
    })
}
