use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    process::Command,
};

use codex_telemetry::{
    ErrorClass,
    attachment::{
        Attachment, AttachmentError, AttachmentStore, CleanupRequest, CleanupService, Ttl,
    },
};
use tower::ServiceExt;

use super::child_process::{self, after, after_mounting};
use crate::support::{EXPIRED, HOUR, names_in, open_at, start, sweep};

const MOUNT: &str =
    "mount -t tmpfs -o size=512k,mode=700 tmpfs \"$CODEX_TELEMETRY_TEST_DIRECTORY\"";

fn run(prefix: &[String], test: &str) {
    let directory = tempfile::tempdir().unwrap();
    child_process::run(prefix, test, directory.path());
}

/// Checks that the error is an I/O error that names the store and says what to do.
pub(super) fn check(error: &AttachmentError, store: &AttachmentStore, advice: &str) {
    assert_eq!(error.classification().class, ErrorClass::Io, "{error}");
    let text = error.to_string();
    let directory = store.directory().to_str().unwrap();
    assert!(
        text.contains(directory),
        "{text} does not name the directory"
    );
    assert!(text.contains(advice), "{text} does not say {advice:?}");
}

async fn stage(
    store: &AttachmentStore,
    size: usize,
    ttl: Ttl,
) -> Result<Attachment, AttachmentError> {
    let staged = store.stage_bytes(size.to_string(), vec![b'x'; size], ttl);
    let mut staged = staged.await?;
    staged.release();
    Ok(staged)
}

/// Fills the disk.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    while let Ok(1..) = file.write(&[b'x'; 4096]) {}
}

#[test]
fn a_full_disk_fails_a_stage_and_not_the_sweep_that_frees_space() {
    run(&after_mounting(MOUNT), "faults::disk::on_a_full_disk");
}

#[tokio::test]
#[ignore = "runs with a small disk mounted"]
async fn on_a_full_disk() {
    let Some(directory) = child_process::directory() else {
        return;
    };
    let (store, _) = open_at(&directory, start());
    let kept = stage(&store, 1_000, Ttl::For(HOUR)).await.unwrap();
    let expired = stage(&store, 300_000, EXPIRED).await.unwrap();
    let before = names_in(&directory);

    // The disk is full after a part of the content.
    let error = stage(&store, 400_000, Ttl::default()).await.unwrap_err();
    check(&error, &store, "free disk space");
    assert_eq!(names_in(&directory), before, "files were left behind");

    fill(&directory.join("ballast"));
    let error = stage(&store, 1, Ttl::default()).await.unwrap_err();
    check(&error, &store, "free disk space");
    assert_eq!(store.list().await.unwrap(), [expired, kept.clone()]);

    // As in a new process.
    let (store, _) = open_at(&directory, start());
    assert_eq!(sweep(&store, CleanupRequest::expired()).await.removed, 1);
    let staged = stage(&store, 200_000, Ttl::default()).await.unwrap();
    let listed = store.list().await.unwrap();
    assert!(listed.len() == 2 && listed.contains(&staged) && listed.contains(&kept));
}

#[test]
fn a_disk_that_becomes_read_only_fails_stages_and_sweeps() {
    run(&after_mounting(MOUNT), "faults::disk::on_a_read_only_disk");
}

#[tokio::test]
#[ignore = "runs with a disk mounted"]
async fn on_a_read_only_disk() {
    const ADVICE: &str = "use a writable directory";
    let Some(directory) = child_process::directory() else {
        return;
    };
    let remount = |how: &str| {
        let mut mount = Command::new("mount");
        mount.args(["-o", how]).arg(&directory);
        assert!(mount.status().unwrap().success());
    };
    let (store, _) = open_at(&directory, start());
    let staged = stage(&store, 1, EXPIRED).await.unwrap();
    remount("remount,ro");
    let error = stage(&store, 2, Ttl::default()).await.unwrap_err();
    check(&error, &store, ADVICE);
    let error = AttachmentStore::open(&directory).unwrap_err();
    check(&error, &store, ADVICE);
    let swept = CleanupService::new(store.clone());
    let error = swept.oneshot(CleanupRequest::expired()).await.unwrap_err();
    assert_eq!(error.classification().class, ErrorClass::Io);
    assert!(error.to_string().contains(ADVICE), "{error}");
    assert_eq!(store.list().await.unwrap(), [staged]);

    remount("remount,rw");
    assert_eq!(sweep(&store, CleanupRequest::expired()).await.removed, 1);
    stage(&store, 2, Ttl::default()).await.unwrap();
}

#[test]
fn a_stage_beyond_the_limit_on_file_sizes_leaves_nothing_behind() {
    // Without the trap, SIGXFSZ ends the process.
    let prefix = after("trap '' XFSZ && ulimit -f 128");
    run(&prefix, "faults::disk::under_a_limit_of_file_sizes");
}

#[tokio::test]
#[ignore = "runs with a limit on file sizes"]
async fn under_a_limit_of_file_sizes() {
    let Some(directory) = child_process::directory() else {
        return;
    };
    let (store, _) = open_at(&directory, start());
    let error = stage(&store, 1 << 20, Ttl::default()).await.unwrap_err();
    check(&error, &store, "`ulimit -f`");
    assert_eq!(names_in(&directory), [".lock"], "files were left behind");
    stage(&store, 1_000, Ttl::default()).await.unwrap();
}

#[test]
fn a_stage_beyond_the_limit_on_open_files_says_so() {
    let prefix = after("ulimit -n 40");
    run(&prefix, "faults::disk::under_a_limit_of_open_files");
}

#[tokio::test]
#[ignore = "runs with a limit on open files"]
async fn under_a_limit_of_open_files() {
    let Some(directory) = child_process::directory() else {
        return;
    };
    let (store, _) = open_at(&directory, start());
    let staged = stage(&store, 1, EXPIRED).await.unwrap();
    let mut open: Vec<_> = (0..40)
        .map_while(|_| File::open("/dev/null").ok())
        .collect();
    assert!(open.len() < 40, "there is no limit");
    // Fails to open the lock file, and then the staging file.
    for _ in 0..2 {
        let error = stage(&store, 2, Ttl::default()).await.unwrap_err();
        check(&error, &store, "`ulimit -n`");
        open.pop();
    }
    drop(open);
    assert_eq!(store.list().await.unwrap(), [staged]);
    assert_eq!(sweep(&store, CleanupRequest::expired()).await.removed, 1);
    assert_eq!(names_in(&directory), [".lock"], "files were left behind");
}

#[tokio::test]
async fn a_source_that_cannot_be_read_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = open_at(&directory.path().join("store"), start());
    // A regular file that cannot be read at its start.
    let source = Path::new("/proc/self/mem");
    assert!(fs::metadata(source).is_ok_and(|it| it.is_file()));
    let error = store.stage_file(source, Ttl::default()).await.unwrap_err();
    assert_eq!(error.classification().class, ErrorClass::Io);
    let AttachmentError::Io {
        path,
        source: cause,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(path, source);
    assert_ne!(cause.kind(), io::ErrorKind::NotFound);
    assert_eq!(names_in(store.directory()), [".lock"]);
}
