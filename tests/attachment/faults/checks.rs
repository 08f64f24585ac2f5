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

/// A store with neighbours: what is beside it, and what is in its directory and not its own.
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

    /// Nothing that is not the store's was touched.
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

    /// What is in the store's directory, less what was there before it.
    pub(super) fn files(&self) -> BTreeSet<String> {
        let mut files = BTreeSet::from_iter(names_in(&self.store()));
        for neighbour in ["notes.txt", &forged("link"), &forged("directory")] {
            assert!(files.remove(neighbour), "{neighbour} is gone");
        }
        files.remove(".lock");
        files
    }

    /// Opens the store anew and checks that it is as if nothing had happened: what was promised is
    /// there, what is there is whole, and a sweep removes the rest. Returns how much was half-written.
    pub(super) async fn check_whole(&self, promised: &[String]) -> usize {
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
        let promised = BTreeSet::from_iter(promised.iter().cloned());
        assert!(left.is_superset(&promised), "{left:?} lacks {promised:?}");
        self.check_outside();
        leftovers.len()
    }

    /// Removes everything that may be removed.
    pub(super) async fn empty(&self) {
        let (store, _) = open_at(&self.store(), start());
        sweep(&store, CleanupRequest::everything()).await;
        assert_eq!(self.files(), BTreeSet::new());
        self.check_outside();
    }
}

/// The file names of what a store lists, each of which is whole.
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

pub(super) fn hash(content: &[u8]) -> String {
    let digits = |byte: &u8| format!("{byte:02x}");
    Sha256::digest(content).iter().map(digits).collect()
}

/// The file name of an attachment that was never staged.
fn forged(name: &str) -> String {
    format!("{}-{name}", "ab".repeat(32))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
