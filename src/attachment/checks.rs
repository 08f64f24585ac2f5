//! Tests that kill a process at each crash point of a stage and of a sweep.
//!
//! The process to kill is this test binary again, which runs one ignored test.

use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    io::Write,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, ExitStatus},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};
use tower::ServiceExt;

use super::{
    Attachment, AttachmentStore, CleanupReport, CleanupRequest, CleanupService, Expiry, Ttl,
};
use crate::event::Clock;

/// The number of the crash point to die at.
const CRASH_AT: &str = "CODEX_TELEMETRY_TEST_CRASH_AT";
const DIRECTORY: &str = "CODEX_TELEMETRY_TEST_CRASH_DIRECTORY";
const HOUR: Ttl = Ttl::For(Duration::from_secs(3600));
const EXPIRED: Ttl = Ttl::For(Duration::ZERO);
/// Enough for several buffers.
const SIZE: usize = 300_000;

/// Kills this process at the point whose number is in the environment. The first point has number 1.
pub(super) fn crash_point(name: &str) {
    static REACHED: AtomicUsize = AtomicUsize::new(0);
    let Ok(number) = env::var(CRASH_AT) else {
        return;
    };
    if (REACHED.fetch_add(1, SeqCst) + 1).to_string() != number {
        return;
    }
    // Standard error itself, because the test harness captures `eprintln!`.
    let _ = std::io::stderr().write_all(name.as_bytes());
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    loop {
        thread::park();
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn open(directory: &Path) -> AttachmentStore {
    let builder = AttachmentStore::builder().clock(Clock::manual(now()).0);
    builder.open(directory).unwrap()
}

fn content() -> Vec<u8> {
    (0..SIZE).map(|index| index.to_le_bytes()[0]).collect()
}

async fn stage(store: &AttachmentStore, name: &str, ttl: Ttl) -> Attachment {
    store.stage_bytes(name, content(), ttl).await.unwrap()
}

async fn sweep(store: &AttachmentStore) -> CleanupReport {
    let service = CleanupService::new(store.clone());
    service.oneshot(CleanupRequest::expired()).await.unwrap()
}

/// Runs an ignored test of this module in a process that dies at a crash point. Returns how the
/// process ended, and the name of the crash point.
fn run_until(crash_at: usize, test: &str, directory: &Path) -> (ExitStatus, String) {
    let output = Command::new(env::current_exe().unwrap())
        .arg(format!("attachment::checks::{test}"))
        .args(["--exact", "--ignored", "--nocapture"])
        .env(CRASH_AT, crash_at.to_string())
        .env(DIRECTORY, directory)
        .output()
        .unwrap();
    let point = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status, point)
}

/// Runs an ignored test once for each of its crash points, each time in a new directory. Returns the
/// names of the crash points in their order.
///
/// What `prepare` returns lives until the process is dead.
async fn kill_at_each_point<T>(
    test: &str,
    prepare: impl AsyncFn(&AttachmentStore) -> T,
    check: impl AsyncFn(&AttachmentStore, &str),
) -> Vec<String> {
    let mut points = Vec::new();
    loop {
        let directory = tempfile::tempdir().unwrap();
        let held = prepare(&open(directory.path())).await;
        let (status, point) = run_until(points.len() + 1, test, directory.path());
        drop(held);
        let store = open(directory.path());
        if status.success() {
            check(&store, "the end").await;
            return points;
        }
        assert_eq!(status.signal(), Some(9), "{status}: {point}");
        check(&store, &point).await;
        points.push(point);
    }
}

/// Returns the directory of the store, or `None` if a person runs the ignored tests.
fn directory() -> Option<std::path::PathBuf> {
    env::var_os(DIRECTORY).map(Into::into)
}

#[tokio::test]
#[ignore = "the process that the other tests kill"]
async fn stages_for_an_hour() {
    if let Some(directory) = directory() {
        stage(&open(&directory), "a", HOUR).await;
    }
}

#[tokio::test]
#[ignore = "the process that the other tests kill"]
async fn sweeps() {
    if let Some(directory) = directory() {
        sweep(&open(&directory)).await;
    }
}

fn names(store: &AttachmentStore) -> BTreeSet<String> {
    let entries = fs::read_dir(store.directory()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != ".lock").collect()
}

/// Checks that every listed attachment is whole, that there are so many leftovers, that a sweep removes
/// them, and that the store works. Returns what is listed after the sweep.
async fn check_whole(store: &AttachmentStore, point: &str, leftovers: usize) -> Vec<Attachment> {
    for attachment in store.list().await.unwrap() {
        let content = fs::read(&attachment.path).unwrap();
        let hash: String = Sha256::digest(&content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hash, attachment.hash, "{point}: {attachment:?}");
    }
    let names_before = names(store);
    let staging = names_before
        .iter()
        .filter(|name| name.starts_with(".staging-"));
    assert_eq!(staging.count(), leftovers, "{point}: {names_before:?}");
    let report = sweep(store).await;
    assert_eq!(report.failed, 0, "{point}: {report:?}");
    assert_eq!(report.leftovers, leftovers as u64, "{point}");
    let listed = store.list().await.unwrap();
    assert_eq!(names(store).len(), listed.len(), "{point}: {listed:?}");
    // The locks of the dead process are released.
    stage(store, "another", HOUR).await;
    listed
}

const STAGE_POINTS: [&str; 12] = [
    "the store is locked for the creation",
    "the staging file is created",
    "the staging file is locked",
    "a part is written",
    "a part is written",
    "a part is written",
    "the expiry is set",
    "the staging file is synced",
    "the staging file is renamed",
    "the lock is released",
    "the directory is synced",
    "the end",
];

/// The end of a stage whose attachment is leased by another process.
const LEASED_POINTS: [&str; 5] = [
    "the expiry of the leased attachment is set",
    "the leased attachment is synced",
    "the lock is released",
    "the directory is synced",
    "the end",
];

/// Returns the number of staging files that are left when the process dies at this point of
/// [`STAGE_POINTS`]. A stage of a leased attachment removes its own last.
fn leftovers(point: &str, is_leased: bool) -> usize {
    let is_first = point == STAGE_POINTS[0];
    let is_last = point == "the end" || (is_placed(point) && !is_leased);
    usize::from(!is_first && !is_last)
}

/// Whether the attachment has its name when the process dies at this point of [`STAGE_POINTS`].
fn is_placed(point: &str) -> bool {
    STAGE_POINTS[8..].contains(&point)
}

#[tokio::test]
async fn a_stage_killed_at_any_point_leaves_the_attachment_whole_or_absent() {
    let points = kill_at_each_point(
        "stages_for_an_hour",
        async |_| {},
        async |store, point| {
            let listed = check_whole(store, point, leftovers(point, false)).await;
            assert_eq!(listed.len(), usize::from(is_placed(point)), "{point}");
        },
    );
    assert_eq!(points.await, STAGE_POINTS[..11]);
}

#[tokio::test]
async fn a_stage_killed_at_any_point_never_shortens_the_time_to_live() {
    for existing in [EXPIRED, HOUR, Ttl::Infinite] {
        let points = kill_at_each_point(
            "stages_for_an_hour",
            async |store| {
                stage(store, "a", existing).await;
            },
            async |store, point| {
                let listed = check_whole(store, point, leftovers(point, false)).await;
                let expiry = match existing {
                    Ttl::Infinite => Some(Expiry::Infinite),
                    // The sweep removes the expired attachment, unless the new one has replaced it.
                    EXPIRED if !is_placed(point) => None,
                    _ => Some(Expiry::At(now() + Duration::from_secs(3600))),
                };
                let expiries: Vec<_> = listed.iter().map(|listed| listed.expiry).collect();
                assert_eq!(expiries, Vec::from_iter(expiry), "{point}");
            },
        );
        let mut expected = STAGE_POINTS[..11].to_vec();
        if existing == Ttl::Infinite {
            // Set and synced again, before the rename.
            expected.splice(8..8, STAGE_POINTS[6..8].iter().copied());
        }
        assert_eq!(points.await, expected);
    }
}

#[tokio::test]
async fn a_stage_of_a_leased_attachment_killed_at_any_point_keeps_the_longer_time_to_live() {
    for existing in [EXPIRED, Ttl::Infinite] {
        let points = kill_at_each_point(
            "stages_for_an_hour",
            async |store| stage(store, "a", existing).await,
            async |store, point| {
                let is_extended = LEASED_POINTS.contains(&point);
                let listed = check_whole(store, point, leftovers(point, true)).await;
                let expiry = match existing {
                    Ttl::Infinite => Some(Expiry::Infinite),
                    _ => is_extended.then_some(Expiry::At(now() + Duration::from_secs(3600))),
                };
                let expiries: Vec<_> = listed.iter().map(|listed| listed.expiry).collect();
                assert_eq!(expiries, Vec::from_iter(expiry), "{point}");
            },
        );
        let expected = [&STAGE_POINTS[..8], &LEASED_POINTS[..4]].concat();
        assert_eq!(points.await, expected);
    }
}

#[tokio::test]
async fn a_sweep_killed_at_any_point_leaves_the_rest_to_the_next_sweep() {
    const DUE: u64 = 4;
    let points = kill_at_each_point(
        "sweeps",
        async |store| {
            for name in ["b", "c", "d"] {
                stage(store, name, EXPIRED).await;
            }
            stage(store, "kept", HOUR).await;
            let leftover = store.directory().join(".staging-0123456789abcdef");
            File::create(leftover).unwrap();
        },
        async |store, point| {
            let left = names(store);
            let removed = 5 - left.len() as u64;
            assert!(left.iter().any(|name| name.ends_with("-kept")), "{point}");
            let report = sweep(store).await;
            assert_eq!((report.removed, report.kept), (DUE - removed, 1), "{point}");
            let listed = check_whole(store, point, 0).await;
            assert_eq!(listed.len(), 1, "{point}: {listed:?}");
            assert_eq!(listed[0].name, "kept");
        },
    );
    let removed = "a due file is removed";
    assert_eq!(
        points.await,
        [
            "a due file is found",
            "the store is locked for the removal",
            removed,
            removed,
            removed,
            removed
        ]
    );
}
