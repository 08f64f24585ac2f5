use std::{
    ffi::{CStr, CString},
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use rustix::fs::Dir;

use super::{
    AttachmentError, CleanupReport, Expiry,
    blocking::CancellationToken,
    crash_point::crash_point,
    lease::Claim,
    lock::{Lock, Wait},
    name::{self, FileKind},
    staging_file,
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

// === impl Sweep ===

impl Sweep<'_> {
    pub(super) fn run(&self) -> Result<(), AttachmentError> {
        let directory = &self.store.directory;
        let failed = AttachmentError::io("sweep the attachments in", directory.path());
        let mut entries = directory.entries().map_err(failed)?;
        loop {
            let mut chunk = read_chunk(&mut entries).map_err(failed)?;
            if chunk.is_empty() {
                return Ok(());
            }
            // A directory lists its entries by the hash of their names. In the order of their inodes, as
            // `find` visits them, the disk does not seek for each one.
            chunk.sort_unstable_by_key(|entry| entry.inode);
            for batch in chunk.chunks(BATCH) {
                self.token.check()?;
                let Some(first) = self.find_due(batch) else {
                    continue;
                };
                crash_point("a due file is found");
                let lock = Lock::acquire(directory, Wait::new(self.token), failed)?;
                crash_point("the store is locked for the removal");
                self.remove_due(&batch[first..], &lock);
            }
        }
    }

    /// Returns the index of the first file of a batch that may be due, as read without the lock.
    ///
    /// Stages can go on meanwhile, and a sweep that finds no due file never takes the lock.
    fn find_due(&self, batch: &[Entry]) -> Option<usize> {
        let may_be_due = |entry: &Entry| entry.is_staging || self.due_size(&entry.name).is_some();
        batch.iter().position(may_be_due)
    }

    /// Removes the files that are due, as read under the lock.
    fn remove_due(&self, batch: &[Entry], lock: &Lock) {
        let directory = &self.store.directory;
        for entry in batch {
            let removed_bytes = if entry.is_staging {
                staging_file::remove_leftover(directory, &*entry.name, lock)
            } else if let Some(size) = self.due_size(&entry.name) {
                match Claim::of(directory, &*entry.name) {
                    Ok(Claim::Free { _locked }) => {
                        let removed = directory.remove(&*entry.name);
                        removed.map(|removed| removed.then_some(size))
                    }
                    Ok(Claim::Leased) => {
                        let mut report = self.progress.report();
                        report.kept += 1;
                        report.leased += 1;
                        continue;
                    }
                    Ok(Claim::Missing) => Ok(None),
                    Err(error) => Err(error),
                }
            } else {
                continue;
            };
            let mut report = self.progress.report();
            match removed_bytes {
                Ok(Some(bytes)) => {
                    crash_point("a due file is removed");
                    report.removed += 1;
                    report.removed_bytes += bytes;
                    report.leftovers += u64::from(entry.is_staging);
                }
                Ok(None) => {}
                Err(error) => report.count_failed(&entry.name, &error),
            }
        }
    }

    /// Returns the size of an attachment if it is due. Otherwise counts it as kept or failed.
    fn due_size(&self, name: &CStr) -> Option<u64> {
        let error = match self.store.directory.metadata(name) {
            Ok(Some(metadata)) if metadata.is_file() => {
                let is_due = match self.store.time_range.decode(metadata.modified) {
                    Expiry::Persistent => false,
                    expiry => self.everything || expiry.has_passed(self.now),
                };
                if is_due {
                    return Some(metadata.size);
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
            store: &store.0,
            token: &CancellationToken::default(),
            progress: &progress,
        };
        let mut entries = store.0.directory.entries().unwrap();
        let entries = read_chunk(&mut entries).unwrap();
        assert_eq!(sweep.find_due(&entries), Some(0));
        let extended = store.stage_bytes("extended", "content", Ttl::default());
        let extended = extended.await.unwrap();
        let failed = AttachmentError::io("lock", dir.path());
        let lock = Lock::acquire(&store.0.directory, Wait::new(sweep.token), failed).unwrap();
        sweep.remove_due(&entries, &lock);
        drop(lock);

        assert_eq!(store.list().await.unwrap(), [extended]);
        let report = progress.report().clone();
        assert_eq!((report.removed, report.kept), (1, 1));
    }
}
