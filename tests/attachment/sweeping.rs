use std::{fs, time::Duration};

use codex_telemetry::attachment::{CleanupRequest, Ttl};

use crate::support::{EXPIRED, Fixture, sweep};

/// Returns an attachment's file name, for a file that was never staged.
fn forged(name: &str) -> String {
    format!("{}-{name}", "ab".repeat(32))
}

#[tokio::test]
async fn the_report_has_the_removed_and_kept_files() {
    let fixture = Fixture::new();
    fixture.stage("four", EXPIRED).await;
    fixture.stage("seven!!", EXPIRED).await;
    fixture.stage("stays", Ttl::default()).await;
    let report = fixture.sweep().await;
    assert_eq!((report.removed, report.removed_bytes), (2, 11));
    assert_eq!((report.kept, report.failed, report.leftovers), (1, 0, 0));
    assert!(report.failures.is_empty());
    assert_eq!(fixture.files().len(), 1);
}

#[tokio::test]
async fn a_sweep_removes_more_than_one_batch() {
    let fixture = Fixture::new();
    for i in 0..1000 {
        // Not staged, because that would sync each file.
        fs::write(fixture.root().join(forged(&format!("{i}"))), "x").unwrap();
    }
    let kept = fixture.stage("stays", Ttl::Persistent).await;
    let report = sweep(&fixture.store, CleanupRequest::everything()).await;
    assert_eq!(
        (report.removed, report.removed_bytes, report.kept),
        (1000, 1000, 1)
    );
    assert_eq!(fixture.store.list().await.unwrap(), [kept]);
}

#[tokio::test]
async fn a_sweep_that_finds_no_due_file_does_not_wait_for_the_lock() {
    let fixture = Fixture::new();
    fixture.stage("stays", Ttl::default()).await;
    let lock = fs::File::open(fixture.root().join(".lock")).unwrap();
    lock.lock().unwrap();
    let sweep = tokio::time::timeout(Duration::from_secs(10), fixture.sweep()).await;
    lock.unlock().unwrap();
    assert_eq!(sweep.expect("the sweep waits for the lock").kept, 1);
}

#[tokio::test]
async fn one_file_that_cannot_be_removed_does_not_stop_the_sweep() {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let fixture = Fixture::new();
    for name in ["a", "b", "c", "d", "e"] {
        fixture.stage(name, EXPIRED).await;
    }
    fs::create_dir(fixture.root().join(forged("directory"))).unwrap();
    // Not even root can remove an immutable file. Not every file system and user can create one.
    let stuck = fixture.stage("stuck", EXPIRED).await;
    let file = fs::File::open(&stuck.path).unwrap();
    let flags = ioctl_getflags(&file).unwrap_or(IFlags::empty());
    let is_stuck = ioctl_setflags(&file, flags | IFlags::IMMUTABLE).is_ok();
    let report = fixture.sweep().await;
    if is_stuck {
        ioctl_setflags(&file, flags).unwrap();
    }

    assert_eq!(report.failed, 1 + u64::from(is_stuck), "{report:?}");
    assert_eq!(report.removed, 6 - u64::from(is_stuck));
    let reported = |name: &str| report.failures.iter().any(|f| f.file_name.ends_with(name));
    assert!(
        reported("-directory") && reported("-stuck") == is_stuck,
        "{report:?}"
    );
    assert!(
        report
            .failures
            .iter()
            .all(|failure| !failure.error.is_empty())
    );

    // The next sweep removes the file.
    assert_eq!(fixture.sweep().await.removed, u64::from(is_stuck));
}

#[tokio::test]
async fn the_report_counts_all_failures_and_describes_the_first_32() {
    let fixture = Fixture::new();
    for i in 0..40 {
        fs::create_dir(fixture.root().join(forged(&format!("{i}")))).unwrap();
    }
    let report = fixture.sweep().await;
    assert_eq!((report.failed, report.failures.len()), (40, 32));
}

#[tokio::test]
async fn the_staging_file_of_a_dead_process_is_removed() {
    let fixture = Fixture::new();
    let leftover = fixture.root().join(".staging-0123456789abcdef");
    fs::write(&leftover, "part").unwrap();
    let report = fixture.sweep().await;
    assert_eq!(
        (report.removed, report.leftovers, report.removed_bytes),
        (1, 1, 4)
    );
    assert!(fixture.files().is_empty());
}

#[tokio::test]
async fn the_staging_file_of_an_active_stage_is_kept() {
    let fixture = Fixture::new();
    let path = fixture.root().join(".staging-0123456789abcdef");
    fs::write(&path, "part").unwrap();
    let writer = fs::File::open(&path).unwrap();
    writer.lock().unwrap();
    let report = sweep(&fixture.store, CleanupRequest::everything()).await;
    assert_eq!((report.removed, report.kept, report.failed), (0, 0, 0));
    assert!(path.exists());
    drop(writer);
    assert_eq!(fixture.sweep().await.leftovers, 1);
}

#[tokio::test]
async fn foreign_files_are_neither_counted_nor_removed() {
    let fixture = Fixture::new();
    let foreign = [
        "notes.txt",
        ".hidden",
        &"ab".repeat(32),
        &format!("{}-", "ab".repeat(32)),
        ".staging-",
        ".staging-notes.txt",
        ".staging-0123456789abcde",
        ".staging-0123456789abcdeff",
        ".staging-0123456789ABCDEF",
        ".staging-0123456789abcdeg",
    ];
    for name in foreign {
        fs::write(fixture.root().join(name), "x").unwrap();
    }
    fs::create_dir(fixture.root().join("directory")).unwrap();
    std::os::unix::fs::symlink("/", fixture.root().join("link")).unwrap();
    let before = fixture.files();
    assert_eq!(before.len(), foreign.len() + 2);
    let report = sweep(&fixture.store, CleanupRequest::everything()).await;
    assert_eq!((report.removed, report.kept, report.failed), (0, 0, 0));
    assert_eq!(fixture.files(), before);
    assert!(fixture.store.list().await.unwrap().is_empty());
}
