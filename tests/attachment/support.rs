use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use codex_telemetry::{
    Clock, ManualClock,
    attachment::{Attachment, AttachmentStore, CleanupReport, CleanupRequest, CleanupService, Ttl},
};
use tower::ServiceExt;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// Far longer than any test takes, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const EXPIRED: Ttl = Ttl::For(Duration::ZERO);

/// A store in a directory of its own, with a manual clock.
pub(crate) struct Fixture {
    pub(crate) store: AttachmentStore,
    pub(crate) manual: ManualClock,
    /// The parent of the store's directory.
    pub(crate) outside: tempfile::TempDir,
}

pub(crate) fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

pub(crate) fn open_at(directory: &Path, now: SystemTime) -> (AttachmentStore, ManualClock) {
    let (clock, manual) = Clock::manual(now);
    let store = AttachmentStore::builder().clock(clock).open(directory);
    (store.unwrap(), manual)
}

pub(crate) async fn sweep(store: &AttachmentStore, request: CleanupRequest) -> CleanupReport {
    let service = CleanupService::new(store.clone());
    service.oneshot(request).await.unwrap()
}

pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

/// Waits until a second handle of a file is open in this process: somebody waits for its lock.
pub(crate) fn wait_for_waiter(path: &Path) {
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        let handles = fs::read_dir("/proc/self/fd").unwrap();
        let links = handles.filter_map(|handle| fs::read_link(handle.ok()?.path()).ok());
        if links.filter(|link| link == path).count() > 1 {
            return;
        }
        std::thread::yield_now();
    }
    panic!("nobody waits for {}", path.display());
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let outside = tempfile::tempdir().unwrap();
        let (store, manual) = open_at(&outside.path().join("store"), start());
        Self {
            store,
            manual,
            outside,
        }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.store.directory().to_owned()
    }

    /// Returns the names in the store's directory, without the lock file.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names = names_in(self.store.directory());
        names.retain(|name| name != ".lock");
        names
    }

    /// Stages the name as the content, and gives up the lease.
    pub(crate) async fn stage(&self, name: &str, ttl: Ttl) -> Attachment {
        let mut staged = self.store.stage_bytes(name, name, ttl).await.unwrap();
        staged.release();
        staged
    }

    pub(crate) async fn sweep(&self) -> CleanupReport {
        sweep(&self.store, CleanupRequest::expired()).await
    }
}
