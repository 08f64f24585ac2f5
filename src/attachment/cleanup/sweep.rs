use std::{
    ffi::{CStr, CString},
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use rustix::fs::Dir;

use super::{CleanupError, CleanupReport};
use crate::attachment::{
    Expiry,
    blocking::Abandoned,
    directory::{Directory, Found},
    inner::Inner,
    lock::{Lock, Stages},
    name::{self, Kind},
    staging,
};

/// How many names are held in memory at once: a directory may have millions.
const CHUNK: usize = 16 << 10;
/// How many files are removed under one lock, so that a stage waits some milliseconds at most.
const BATCH: usize = 256;

/// One sweep over a store.
#[derive(Debug)]
pub(super) struct Sweep<'a> {
    pub(super) everything: bool,
    pub(super) now: SystemTime,
    pub(super) store: &'a Inner,
    pub(super) abandoned: &'a Abandoned,
    pub(super) progress: &'a Progress,
}

/// What a sweep has done so far, for the one who waits for it.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<CleanupReport>);

#[derive(Debug)]
struct Name {
    text: CString,
    inode: u64,
    is_leftover: bool,
}

/// What a sweep is about to remove.
#[derive(Debug)]
enum Due<'a> {
    Attachment(&'a CStr, Found),
    Leftover(&'a CStr),
}

// === impl Sweep ===

impl Sweep<'_> {
    pub(super) fn run(&self) -> Result<(), CleanupError> {
        let mut names = self.directory().names().map_err(|e| self.failed(e))?;
        let mut seen = None;
        loop {
            let mut chunk = read(&mut names).map_err(|e| self.failed(e))?;
            if chunk.is_empty() {
                return Ok(());
            }
            // Inodes in the order in which they lie on the disk, as `find` visits them: a directory
            // lists them by the hash of their names, and each would be a seek.
            chunk.sort_unstable_by_key(|name| name.inode);
            for batch in chunk.chunks(BATCH) {
                self.abandoned.check()?;
                let due = self.look(batch);
                self.remove_due(&due, &mut seen)
                    .map_err(|e| self.failed(e))?;
            }
        }
    }

    /// Returns which of some files are due, as seen without the lock.
    ///
    /// So stages go by meanwhile, and a sweep that finds nothing never takes the lock.
    fn look<'n>(&self, batch: &'n [Name]) -> Vec<Due<'n>> {
        let due = |name: &'n Name| match name.is_leftover {
            true => Some(Due::Leftover(&name.text)),
            false => Some(Due::Attachment(&name.text, self.is_due(&name.text)?)),
        };
        batch.iter().filter_map(due).collect()
    }

    /// Removes what is still due now that nobody else can change it.
    ///
    /// `seen` is how many stages there had been before the look. If there were none since, what the
    /// look found still holds; asking again would cost half as much as the removal does.
    fn remove_due(&self, names: &[Due<'_>], seen: &mut Option<Stages>) -> io::Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let lock = Lock::acquire(self.directory())?;
        let stages = lock.stages()?;
        let still_holds = seen.replace(stages) == Some(stages);
        for due in names {
            match *due {
                Due::Leftover(name) => self.remove_leftover(name, &lock),
                Due::Attachment(name, found) if still_holds => self.remove(name, found),
                Due::Attachment(name, _) => {
                    if let Some(found) = self.is_due(name) {
                        self.remove(name, found);
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns a file whose time has come; counts it if not.
    fn is_due(&self, name: &CStr) -> Option<Found> {
        match self.directory().look(name) {
            Ok(Some(found)) if !found.is_file() => {
                // Somebody meddled, so somebody should know; but it is not ours to remove.
                let error = io::Error::other("it bears an attachment's name and is no file");
                self.progress.report().fail(name, &error);
                None
            }
            Ok(Some(found)) => {
                let due = match self.store.horizon.read(found.modified) {
                    Expiry::Persistent => false,
                    expiry => self.everything || expiry.has_passed(self.now),
                };
                if due {
                    return Some(found);
                }
                self.progress.report().kept += 1;
                None
            }
            // Another sweep was faster, and counts it.
            Ok(None) => None,
            Err(error) => {
                self.progress.report().fail(name, &error);
                None
            }
        }
    }

    fn remove(&self, name: &CStr, found: Found) {
        match self.directory().remove(name) {
            Ok(true) => self.progress.report().remove(found.size),
            Ok(false) => {}
            Err(error) => self.progress.report().fail(name, &error),
        }
    }

    fn remove_leftover(&self, name: &CStr, lock: &Lock) {
        let removed = staging::remove_leftover(self.directory(), name, lock);
        let mut report = self.progress.report();
        match removed {
            Ok(Some(bytes)) => {
                report.remove(bytes);
                report.leftovers += 1;
            }
            Ok(None) => {}
            Err(error) => report.fail(name, &error),
        }
    }

    fn directory(&self) -> &Directory {
        &self.store.directory
    }

    fn failed(&self, source: io::Error) -> CleanupError {
        CleanupError::Io {
            doing: "sweep the attachments in",
            path: self.directory().path().to_owned(),
            source,
        }
    }
}

// === impl Progress ===

impl Progress {
    pub(super) fn report(&self) -> MutexGuard<'_, CleanupReport> {
        // Counts are whole whatever a panic interrupted.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the next names that are the store's; none when there are no more.
fn read(names: &mut Dir) -> io::Result<Vec<Name>> {
    let mut chunk = Vec::new();
    while chunk.len() < CHUNK {
        let Some(entry) = names.next().transpose()? else {
            break;
        };
        let text = entry.file_name();
        let is_leftover = match name::kind_of(text.to_bytes()) {
            Kind::Attachment { .. } => false,
            Kind::Staging => true,
            Kind::Foreign => continue,
        };
        chunk.push(Name {
            text: text.to_owned(),
            inode: entry.ino(),
            is_leftover,
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
    async fn what_is_extended_between_the_look_and_the_lock_stays() {
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
            abandoned: &Abandoned::default(),
            progress: &progress,
        };
        let names = read(&mut sweep.directory().names().unwrap()).unwrap();
        let stages = Lock::acquire(sweep.directory()).unwrap().stages();
        let mut seen = Some(stages.unwrap());
        let due = sweep.look(&names);
        assert_eq!(due.len(), 2);
        let extended = store.stage_bytes("extended", "content", Ttl::default());
        let extended = extended.await.unwrap();
        sweep.remove_due(&due, &mut seen).unwrap();

        assert_eq!(store.list().await.unwrap(), [extended]);
        let report = progress.report().clone();
        assert_eq!((report.removed, report.kept), (1, 1));
    }
}
