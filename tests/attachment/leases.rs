use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use codex_telemetry::{
    ErrorClass,
    attachment::{Attachment, AttachmentError, CleanupRequest, Expiry, Ttl},
};

use crate::support::{EXPIRED, Fixture, HOUR, open_at, start, sweep, wait_for_waiter};

/// Stages the name as the content, and keeps the lease.
async fn stage(fixture: &Fixture, name: &str, ttl: Ttl) -> Attachment {
    fixture.store.stage_bytes(name, name, ttl).await.unwrap()
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[tokio::test]
async fn no_sweep_removes_an_attachment_until_the_last_clone_of_its_lease_is_dropped() {
    let fixture = Fixture::new();
    let staged = stage(&fixture, "a", EXPIRED).await;
    assert!(staged.is_leased());
    let clone = staged.clone();
    drop(staged);
    for request in [CleanupRequest::expired(), CleanupRequest::everything()] {
        let report = sweep(&fixture.store, request).await;
        assert_eq!((report.removed, report.kept, report.leased), (0, 1, 1));
    }
    drop(clone);
    let report = fixture.sweep().await;
    assert_eq!((report.removed, report.kept, report.leased), (1, 0, 0));
}

#[tokio::test]
async fn a_released_attachment_has_no_lease_and_its_clones_keep_theirs() {
    let fixture = Fixture::new();
    let mut staged = stage(&fixture, "a", EXPIRED).await;
    let clone = staged.clone();
    staged.release();
    assert!(!staged.is_leased() && clone.is_leased());
    assert_eq!(staged, clone);
    assert_eq!(fixture.sweep().await.leased, 1);
    drop(clone);
    assert_eq!(fixture.sweep().await.removed, 1);
}

#[tokio::test]
async fn a_listed_attachment_has_no_lease_and_can_be_leased_even_if_it_has_expired() {
    let fixture = Fixture::new();
    fixture.stage("a", EXPIRED).await;
    let listed = fixture.store.list().await.unwrap().remove(0);
    assert!(!listed.is_leased());
    let leased = fixture.store.lease(&listed).await.unwrap();
    assert!(leased.is_leased());
    assert_eq!(leased, listed);
    assert_eq!(fixture.sweep().await.leased, 1);
    drop(leased);
    assert_eq!(fixture.sweep().await.removed, 1);
}

#[tokio::test]
async fn a_lease_has_the_current_expiry() {
    let fixture = Fixture::new();
    let staged = fixture.stage("a", EXPIRED).await;
    fixture.stage("a", Ttl::Infinite).await;
    let leased = fixture.store.lease(&staged).await.unwrap();
    assert_eq!(leased.expiry, Expiry::Infinite);
}

#[tokio::test]
async fn a_removed_attachment_cannot_be_leased() {
    let fixture = Fixture::new();
    let staged = fixture.stage("a", EXPIRED).await;
    assert_eq!(fixture.sweep().await.removed, 1);
    let outside = fixture.outside.path().join("x");
    fs::write(&outside, "x").unwrap();
    let traversing = Attachment::new(outside, "x", "..", 1, Expiry::Infinite);
    let unknown = Attachment::new("/a", "../x", "ab".repeat(32), 1, Expiry::Infinite);
    for gone in [staged, traversing, unknown] {
        let error = fixture.store.lease(&gone).await.unwrap_err();
        assert!(matches!(error, AttachmentError::NotFound { .. }), "{error}");
        assert_eq!(error.classification().class, ErrorClass::InvalidRequest);
    }
}

#[tokio::test]
async fn a_lease_that_waits_for_a_sweep_or_a_stage_is_one_of_what_is_there_afterwards() {
    for is_replaced in [false, true] {
        let fixture = Fixture::new();
        let staged = fixture.stage("a", EXPIRED).await;
        // As a sweep that removes the file, and a stage that replaces it.
        let exclusive = fs::File::open(&staged.path).unwrap();
        exclusive.lock().unwrap();
        let (store, wanted) = (fixture.store.clone(), staged.clone());
        let lease = tokio::spawn(async move { store.lease(&wanted).await });
        let path = staged.path.clone();
        let waits = tokio::task::spawn_blocking(move || wait_for_waiter(&path));
        waits.await.unwrap();
        if is_replaced {
            let another = fixture.outside.path().join("another");
            fs::write(&another, "another file").unwrap();
            fs::rename(another, &staged.path).unwrap();
        } else {
            fs::remove_file(&staged.path).unwrap();
        }
        drop(exclusive);
        match lease.await.unwrap() {
            Ok(leased) => assert_eq!((is_replaced, leased.size), (true, 12)),
            Err(AttachmentError::NotFound { .. }) => assert!(!is_replaced),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_lease_outlasts_the_expiry_of_the_same_attachment_staged_again() {
    let fixture = Fixture::new();
    let first = stage(&fixture, "a", EXPIRED).await;
    let before = inode(&first.path);
    let second = stage(&fixture, "a", Ttl::For(HOUR)).await;
    assert_eq!(second.expiry, Expiry::At(start() + HOUR));
    assert_eq!(inode(&first.path), before, "the leased file was replaced");
    let third = stage(&fixture, "a", EXPIRED).await;
    assert_eq!(third.expiry, second.expiry, "the expiry was shortened");
    drop((second, third));
    fixture.manual.advance(HOUR);
    assert_eq!(fixture.sweep().await.leased, 1);
    drop(first);
    assert_eq!(fixture.sweep().await.removed, 1);
    assert!(fixture.files().is_empty(), "{:?}", fixture.files());
}

#[tokio::test]
async fn staging_replaces_a_leased_attachment_that_was_changed() {
    let fixture = Fixture::new();
    for content in ["", "who", "whole and more", "wrong"] {
        let leased = stage(&fixture, "whole", EXPIRED).await;
        let mut permissions = fs::metadata(&leased.path).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
        fs::set_permissions(&leased.path, permissions).unwrap();
        fs::write(&leased.path, content).unwrap();
        stage(&fixture, "whole", EXPIRED).await;
        assert_eq!(fs::read_to_string(&leased.path).unwrap(), "whole");
    }
}

#[tokio::test]
async fn a_lease_outlasts_a_stage_although_the_file_has_another_name() {
    let fixture = Fixture::new();
    let leased = stage(&fixture, "a", EXPIRED).await;
    // As a backup made of hard links.
    let other = fixture.outside.path().join("other");
    fs::hard_link(&leased.path, &other).unwrap();
    drop(stage(&fixture, "a", EXPIRED).await);
    assert_eq!(fixture.sweep().await.leased, 1);
    assert!(leased.path.exists());
    assert_eq!(fs::read_to_string(&other).unwrap(), "a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_leased_attachment_is_there_whatever_others_stage_and_sweep() {
    const HOLDERS: usize = 4;
    const ROUNDS: usize = 40;
    let fixture = Fixture::new();
    let done = Arc::new(AtomicBool::new(false));
    let sweeper = {
        let (store, _) = open_at(fixture.store.directory(), start());
        let done = Arc::clone(&done);
        tokio::spawn(async move {
            while !done.load(Relaxed) {
                let report = sweep(&store, CleanupRequest::everything()).await;
                assert_eq!(report.failed, 0, "{report:?}");
            }
        })
    };
    let holders: Vec<_> = (0..HOLDERS)
        .map(|holder| {
            let (store, _) = open_at(fixture.store.directory(), start());
            tokio::spawn(async move {
                let mut found = 0;
                for round in 0..ROUNDS {
                    // All stage and lease the same attachment, which expires at once.
                    let held = if (holder + round) % 2 == 0 {
                        store.stage_bytes("a", "a", EXPIRED).await
                    } else {
                        let hash =
                            "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
                        let wanted = Attachment::new("", "a", hash, 1, Expiry::Infinite);
                        match store.lease(&wanted).await {
                            Err(AttachmentError::NotFound { .. }) => continue,
                            leased => leased,
                        }
                    };
                    let held = held.unwrap();
                    for _ in 0..5 {
                        assert_eq!(fs::read_to_string(&held.path).unwrap(), "a");
                        store.list().await.unwrap();
                    }
                    found += 1;
                }
                found
            })
        })
        .collect();
    for holder in holders {
        assert!(holder.await.unwrap() >= ROUNDS / 2);
    }
    done.store(true, Relaxed);
    sweeper.await.unwrap();
    sweep(&fixture.store, CleanupRequest::everything()).await;
    assert!(fixture.files().is_empty(), "{:?}", fixture.files());
}
