use std::{
    ffi::{CStr, CString},
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use rustix::fs::Dir;

use super::CleanupReport;
use crate::attachment::{
    CleanupError, Expiry,
    blocking::CancellationToken,
    crash_point::crash_point,
    directory::{Directory, Metadata},
    lock::{Lock, StageCount},
    name::{self, FileKind},
    stage,
    store::Inner,
};

/// The number of directory entries in memory at a time. A directory can have millions.
const CHUNK: usize = 16 << 10;
/// The number of files that are removed under one lock, so that a stage waits some milliseconds at
/// most.
const BATCH: usize = 256;

/// One sweep of a store.
#[derive(Debug)]
pub(super) struct Sweep<'a> {
    pub(super) everything: bool,
    pub(super) now: SystemTime,
    pub(super) store: &'a Inner,
    pub(super) token: &'a CancellationToken,
    pub(super) progress: &'a Progress,
}

/// What a sweep has done so far, shared with its future.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<CleanupReport>);

/// A directory entry of the store.
#[derive(Debug)]
struct Entry {
    name: CString,
    inode: u64,
    is_staging: bool,
}

/// A file that a sweep is about to remove.
#[derive(Clone, Copy, Debug)]
enum Due<'a> {
    Attachment(&'a CStr, Metadata),
    Staging(&'a CStr),
}

// === impl Sweep ===

impl Sweep<'_> {
    pub(super) fn run(&self) -> Result<(), CleanupError> {
        let mut entries = self.directory().entries().map_err(|e| self.error(e))?;
        let mut last_count = None;
        loop {
            let mut chunk = read_chunk(&mut entries).map_err(|e| self.error(e))?;
            if chunk.is_empty() {
                return Ok(());
            }
            // A directory lists its entries by the hash of their names. In the order of their inodes, as
            // `find` visits them, the disk does not seek for each one.
            chunk.sort_unstable_by_key(|entry| entry.inode);
            for batch in chunk.chunks(BATCH) {
                self.token.check()?;
                let due = self.find_due(batch);
                crash_point("the due files are found");
                self.remove_due(&due, &mut last_count)
                    .map_err(|e| self.error(e))?;
            }
        }
    }

    /// Returns the files of a batch that are due, as read without the lock.
    ///
    /// Stages can go on meanwhile, and a sweep that finds no due file never takes the lock.
    fn find_due<'n>(&self, batch: &'n [Entry]) -> Vec<Due<'n>> {
        let due = |entry: &'n Entry| match entry.is_staging {
            true => Some(Due::Staging(&entry.name)),
            false => Some(Due::Attachment(&entry.name, self.due(&entry.name)?)),
        };
        batch.iter().filter_map(due).collect()
    }

    /// Removes the files that are still due, under the lock.
    ///
    /// `last_count` is the stage count before [`find_due`](Self::find_due). If it has not changed, the
    /// metadata is up to date, and reading it again would cost half as much as the removal.
    fn remove_due(&self, due: &[Due<'_>], last_count: &mut Option<StageCount>) -> io::Result<()> {
        if due.is_empty() {
            return Ok(());
        }
        let lock = Lock::acquire(self.directory())?;
        let count = lock.stage_count()?;
        let is_current = last_count.replace(count) == Some(count);
        crash_point("the store is locked for the removal");
        for file in due {
            match *file {
                Due::Attachment(name, _) if !is_current => {
                    if let Some(metadata) = self.due(name) {
                        self.remove(Due::Attachment(name, metadata), &lock);
                    }
                }
                file => self.remove(file, &lock),
            }
            crash_point("a due file is removed");
        }
        Ok(())
    }

    /// Returns the metadata of an attachment if it is due. Otherwise counts it as kept or failed.
    fn due(&self, name: &CStr) -> Option<Metadata> {
        let error = match self.directory().metadata(name) {
            Ok(Some(metadata)) if metadata.is_file() => {
                let due = match self.store.time_range.decode(metadata.modified) {
                    Expiry::Persistent => false,
                    expiry => self.everything || expiry.has_passed(self.now),
                };
                if due {
                    return Some(metadata);
                }
                self.progress.report().kept += 1;
                return None;
            }
            // Another program created it, so the sweep reports it and does not remove it.
            Ok(Some(_)) => {
                io::Error::other("it has an attachment's name but is not a regular file")
            }
            // Another sweep has removed and counted it.
            Ok(None) => return None,
            Err(error) => error,
        };
        self.progress.report().count_failed(name, &error);
        None
    }

    fn remove(&self, file: Due<'_>, lock: &Lock) {
        let (name, removed_bytes) = match file {
            Due::Attachment(name, metadata) => {
                let removed = self.directory().remove(name);
                (
                    name,
                    removed.map(|removed| removed.then_some(metadata.size)),
                )
            }
            Due::Staging(name) => (name, stage::remove_leftover(self.directory(), name, lock)),
        };
        let mut report = self.progress.report();
        match removed_bytes {
            Ok(Some(bytes)) => {
                report.removed += 1;
                report.removed_bytes += bytes;
                report.leftovers += u64::from(matches!(file, Due::Staging(_)));
            }
            Ok(None) => {}
            Err(error) => report.count_failed(name, &error),
        }
    }

    fn directory(&self) -> &Directory {
        &self.store.directory
    }

    fn error(&self, source: io::Error) -> CleanupError {
        CleanupError::Io {
            action: "sweep the attachments in",
            path: self.directory().path().to_owned(),
            source,
        }
    }
}

// === impl Progress ===

impl Progress {
    pub(super) fn report(&self) -> MutexGuard<'_, CleanupReport> {
        // The counts are consistent after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the next entries of the store, or an empty list at the end of the directory.
fn read_chunk(entries: &mut Dir) -> io::Result<Vec<Entry>> {
    let mut chunk = Vec::new();
    while chunk.len() < CHUNK {
        let Some(entry) = entries.next().transpose()? else {
            break;
        };
        let name = entry.file_name();
        let is_staging = match name::kind_of(name.to_bytes()) {
            FileKind::Attachment { .. } => false,
            FileKind::Staging => true,
            FileKind::Foreign => continue,
        };
        chunk.push(Entry {
            name: name.to_owned(),
            inode: entry.ino(),
            is_staging,
        });
    }
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::{
        attachment::{AttachmentStore, Ttl},
        event::Clock,
    };

    #[tokio::test]
    async fn an_attachment_that_is_extended_before_the_lock_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let builder = AttachmentStore::builder().clock(Clock::manual(now).0);
        let store = builder.open(dir.path()).unwrap();
        for name in ["extended", "expired"] {
            let ttl = Ttl::For(Duration::ZERO);
            store.stage_bytes(name, "content", ttl).await.unwrap();
        }

        let progress = Progress::default();
        let sweep = Sweep {
            everything: false,
            now,
            store: &store.inner(),
            token: &CancellationToken::default(),
            progress: &progress,
        };
        let entries = read_chunk(&mut sweep.directory().entries().unwrap()).unwrap();
        let count = Lock::acquire(sweep.directory()).unwrap().stage_count();
        let mut last_count = Some(count.unwrap());
        let due = sweep.find_due(&entries);
        assert_eq!(due.len(), 2);
        let extended = store.stage_bytes("extended", "content", Ttl::default());
        let extended = extended.await.unwrap();
        sweep.remove_due(&due, &mut last_count).unwrap();

        assert_eq!(store.list().await.unwrap(), [extended]);
        let report = progress.report().clone();
        assert_eq!((report.removed, report.kept), (1, 1));
    }
}
