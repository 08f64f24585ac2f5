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

use super::elsewhere::{self, after, after_mounting};
use crate::support::{EXPIRED, HOUR, names_in, open_at, start, sweep};

const MOUNT: &str =
    "mount -t tmpfs -o size=512k,mode=700 tmpfs \"$CODEX_TELEMETRY_TEST_DIRECTORY\"";

fn run(before: &[String], test: &str) {
    let directory = tempfile::tempdir().unwrap();
    elsewhere::run(before, test, directory.path());
}

/// It is an error of the operating system that names the store and says what to do.
pub(super) fn check(error: &AttachmentError, store: &AttachmentStore, to_do: &str) {
    assert_eq!(error.classification().class, ErrorClass::Io, "{error}");
    let text = error.to_string();
    let directory = store.directory().to_str().unwrap();
    assert!(text.contains(directory), "{text} does not say where");
    assert!(text.contains(to_do), "{text} does not say {to_do:?}");
}

async fn stage(
    store: &AttachmentStore,
    size: usize,
    ttl: Ttl,
) -> Result<Attachment, AttachmentError> {
    store
        .stage_bytes(size.to_string(), vec![b'x'; size], ttl)
        .await
}

/// Writes as much as there is room for.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    while let Ok(1..) = file.write(&[b'x'; 4096]) {}
}

#[test]
fn a_disk_that_is_full_refuses_a_stage_whole_and_lets_a_sweep_make_room() {
    run(&after_mounting(MOUNT), "faults::disk::on_a_full_disk");
}

#[tokio::test]
#[ignore = "runs where a small disk is mounted for it"]
async fn on_a_full_disk() {
    let Some(directory) = elsewhere::directory() else {
        return;
    };
    let (store, _) = open_at(&directory, start());
    let kept = stage(&store, 1_000, Ttl::For(HOUR)).await.unwrap();
    let expired = stage(&store, 300_000, EXPIRED).await.unwrap();
    let before = names_in(&directory);

    // Half of it is written before the disk is full.
    let error = stage(&store, 400_000, Ttl::default()).await.unwrap_err();
    check(&error, &store, "make room on its disk");
    assert_eq!(names_in(&directory), before, "something was left behind");

    fill(&directory.join("ballast"));
    let error = stage(&store, 1, Ttl::default()).await.unwrap_err();
    check(&error, &store, "make room on its disk");
    assert_eq!(store.list().await.unwrap(), [expired, kept.clone()]);

    // Opened anew, as by a process that begins now.
    let (store, _) = open_at(&directory, start());
    assert_eq!(sweep(&store, CleanupRequest::expired()).await.removed, 1);
    let staged = stage(&store, 200_000, Ttl::default()).await.unwrap();
    let listed = store.list().await.unwrap();
    assert!(listed.len() == 2 && listed.contains(&staged) && listed.contains(&kept));
}

#[test]
fn a_disk_that_becomes_read_only_refuses_what_would_write() {
    run(&after_mounting(MOUNT), "faults::disk::on_a_read_only_disk");
}

#[tokio::test]
#[ignore = "runs where a disk is mounted for it"]
async fn on_a_read_only_disk() {
    const TO_DO: &str = "use a directory that can be written to";
    let Some(directory) = elsewhere::directory() else {
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
    check(&error, &store, TO_DO);
    let error = AttachmentStore::open(&directory).unwrap_err();
    check(&error, &store, TO_DO);
    let swept = CleanupService::new(store.clone());
    let error = swept.oneshot(CleanupRequest::expired()).await.unwrap_err();
    assert_eq!(error.classification().class, ErrorClass::Io);
    assert!(error.to_string().contains(TO_DO), "{error}");
    assert_eq!(store.list().await.unwrap(), [staged]);

    remount("remount,rw");
    assert_eq!(sweep(&store, CleanupRequest::expired()).await.removed, 1);
    stage(&store, 2, Ttl::default()).await.unwrap();
}

#[test]
fn a_file_larger_than_the_process_may_write_is_refused_whole() {
    // Without the trap the signal ends the process; that is as a kill.
    let before = after("trap '' XFSZ && ulimit -f 128");
    run(&before, "faults::disk::under_a_limit_of_file_sizes");
}

#[tokio::test]
#[ignore = "runs in a process that may not write large files"]
async fn under_a_limit_of_file_sizes() {
    let Some(directory) = elsewhere::directory() else {
        return;
    };
    let (store, _) = open_at(&directory, start());
    let error = stage(&store, 1 << 20, Ttl::default()).await.unwrap_err();
    check(&error, &store, "`ulimit -f`");
    assert_eq!(names_in(&directory), [".lock"], "something was left behind");
    stage(&store, 1_000, Ttl::default()).await.unwrap();
}

#[test]
fn a_process_that_may_open_no_more_files_is_told_so() {
    let before = after("ulimit -n 40");
    run(&before, "faults::disk::under_a_limit_of_open_files");
}

#[tokio::test]
#[ignore = "runs in a process that may not open many files"]
async fn under_a_limit_of_open_files() {
    let Some(directory) = elsewhere::directory() else {
        return;
    };
    let (store, _) = open_at(&directory, start());
    let staged = stage(&store, 1, EXPIRED).await.unwrap();
    let mut open: Vec<_> = (0..40)
        .map_while(|_| File::open("/dev/null").ok())
        .collect();
    assert!(open.len() < 40, "there is no limit");
    // For the lock, and then for the file that is written.
    for _ in 0..2 {
        let error = stage(&store, 2, Ttl::default()).await.unwrap_err();
        check(&error, &store, "`ulimit -n`");
        open.pop();
    }
    drop(open);
    assert_eq!(store.list().await.unwrap(), [staged]);
    assert_eq!(sweep(&store, CleanupRequest::expired()).await.removed, 1);
    assert_eq!(names_in(&directory), [".lock"], "something was left behind");
}

#[tokio::test]
async fn a_disk_that_fails_to_read_the_source_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = open_at(&directory.path().join("store"), start());
    // A regular file by its kind, which the system refuses to read from the start.
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
