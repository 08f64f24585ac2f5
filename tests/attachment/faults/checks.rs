use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::SystemTime,
};

use codex_telemetry::attachment::{AttachmentStore, CleanupRequest};
use sha2::{Digest, Sha256};

use crate::support::{names_in, open_at, start, sweep};

/// A store with foreign files beside its directory and in it.
pub(super) struct Neighbourhood {
    outside: tempfile::TempDir,
    modified: SystemTime,
}

// === impl Neighbourhood ===

impl Neighbourhood {
    pub(super) fn new() -> Self {
        let outside = tempfile::tempdir().unwrap();
        let victim = outside.path().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("file"), "precious").unwrap();
        let store = outside.path().join("store");
        fs::create_dir(&store).unwrap();
        fs::write(store.join("notes.txt"), "precious").unwrap();
        symlink(victim.join("file"), store.join(forged("link"))).unwrap();
        fs::create_dir(store.join(forged("directory"))).unwrap();
        let modified = fs::metadata(victim.join("file")).unwrap().modified();
        Self {
            outside,
            modified: modified.unwrap(),
        }
    }

    pub(super) fn store(&self) -> PathBuf {
        self.outside.path().join("store")
    }

    pub(super) fn victim(&self) -> PathBuf {
        self.outside.path().join("victim")
    }

    /// Checks that no foreign file was touched.
    pub(super) fn check_outside(&self) {
        assert_eq!(names_in(self.outside.path()), ["store", "victim"]);
        assert_eq!(names_in(&self.victim()), ["file"]);
        let file = self.victim().join("file");
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        assert_eq!(modified, self.modified);
        let notes = self.store().join("notes.txt");
        assert_eq!(fs::read_to_string(notes).unwrap(), "precious");
        let link = fs::read_link(self.store().join(forged("link")));
        assert_eq!(link.unwrap(), file);
        assert!(self.store().join(forged("directory")).is_dir());
    }

    /// Returns the names of the store's files, without the lock file.
    pub(super) fn files(&self) -> BTreeSet<String> {
        let mut files = BTreeSet::from_iter(names_in(&self.store()));
        for neighbour in ["notes.txt", &forged("link"), &forged("directory")] {
            assert!(files.remove(neighbour), "{neighbour} is missing");
        }
        files.remove(".lock");
        files
    }

    /// Opens the store again and checks that every attachment is whole, that a sweep removes all other
    /// files, and that the staged files are there. Returns the number of leftovers.
    pub(super) async fn check_whole(&self, staged: &[String]) -> usize {
        self.check_outside();
        let files = self.files();
        let (store, _) = open_at(&self.store(), start());
        let (leftovers, attachments): (BTreeSet<_>, BTreeSet<_>) = files
            .into_iter()
            .partition(|name| name.starts_with(".staging-"));
        assert_eq!(listed_whole(&store).await, attachments);

        let report = sweep(&store, CleanupRequest::expired()).await;
        assert_eq!(report.leftovers, leftovers.len() as u64);
        assert_eq!(report.failed, 2, "the link and the directory: {report:?}");
        let left = self.files();
        assert_eq!(left, listed_whole(&store).await);
        let staged = BTreeSet::from_iter(staged.iter().cloned());
        assert!(left.is_superset(&staged), "{left:?} lacks {staged:?}");
        self.check_outside();
        leftovers.len()
    }
}

/// Returns the file names of a store's attachments, after it has checked that each is whole.
pub(super) async fn listed_whole(store: &AttachmentStore) -> BTreeSet<String> {
    let listed = store.list().await.unwrap();
    let names = listed.iter().map(|attachment| {
        let content = fs::read(&attachment.path).unwrap();
        assert_eq!(hash(&content), attachment.hash, "{attachment:?}");
        assert_eq!(content.len() as u64, attachment.size);
        file_name(&attachment.path)
    });
    names.collect()
}

fn hash(content: &[u8]) -> String {
    let digits = |byte: &u8| format!("{byte:02x}");
    Sha256::digest(content).iter().map(digits).collect()
}

/// Returns an attachment's file name, for a file that was never staged.
fn forged(name: &str) -> String {
    format!("{}-{name}", "ab".repeat(32))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
