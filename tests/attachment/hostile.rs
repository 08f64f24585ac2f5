use std::{fs, os::unix::fs::symlink};

use codex_telemetry::{
    ErrorClass,
    attachment::{AttachmentError, AttachmentStore, CleanupRequest, CleanupService, Ttl},
};
use tower::ServiceExt;

use crate::support::{EXPIRED, Fixture, names_in, sweep};

#[tokio::test]
async fn a_link_under_an_attachments_name_is_reported_and_never_followed_or_removed() {
    let fixture = Fixture::new();
    let staged = fixture.stage("a", EXPIRED).await;
    let victim = fixture.outside.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    fs::remove_file(&staged.path).unwrap();
    symlink(&victim, &staged.path).unwrap();
    let report = sweep(&fixture.store, CleanupRequest::everything()).await;
    assert_eq!((report.removed, report.kept, report.failed), (0, 0, 1));
    assert!(staged.path.is_symlink());
    assert_eq!(fs::read_to_string(victim).unwrap(), "precious");
    assert!(fixture.store.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn staging_over_a_link_replaces_the_link_and_not_its_target() {
    let fixture = Fixture::new();
    let staged = fixture.stage("a", Ttl::default()).await;
    let victim = fixture.outside.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let modified = || fs::metadata(&victim).unwrap().modified().unwrap();
    let before = modified();
    fs::remove_file(&staged.path).unwrap();
    symlink(&victim, &staged.path).unwrap();
    let again = fixture.stage("a", Ttl::default()).await;
    assert!(!again.path.is_symlink());
    assert_eq!(fs::read_to_string(again.path).unwrap(), "a");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(modified(), before);
}

#[tokio::test]
async fn staging_over_a_hard_linked_file_does_not_change_its_other_name() {
    let fixture = Fixture::new();
    let staged = fixture.stage("a", EXPIRED).await;
    let other = fixture.outside.path().join("other");
    fs::hard_link(&staged.path, &other).unwrap();
    let modified = || fs::metadata(&other).unwrap().modified().unwrap();
    let before = modified();
    fixture.stage("a", Ttl::default()).await;
    assert_eq!(modified(), before);
}

#[tokio::test]
async fn staging_replaces_a_changed_attachment() {
    let fixture = Fixture::new();
    let staged = fixture.stage("whole", Ttl::default()).await;
    for content in ["", "who", "whole and more", "wrong"] {
        fs::remove_file(&staged.path).unwrap();
        fs::write(&staged.path, content).unwrap();
        fixture.stage("whole", Ttl::default()).await;
        assert_eq!(fs::read_to_string(&staged.path).unwrap(), "whole");
    }
}

#[tokio::test]
async fn a_directory_in_place_of_an_attachment_fails_the_stage_and_is_kept() {
    let fixture = Fixture::new();
    let staged = fixture.stage("a", Ttl::default()).await;
    fs::remove_file(&staged.path).unwrap();
    fs::create_dir(&staged.path).unwrap();
    let error = fixture.store.stage_bytes("a", "a", Ttl::default()).await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("move away"), "{error}");
    assert_eq!(error.classification().class, ErrorClass::Io);
    assert_eq!(fixture.files().len(), 1, "only the directory is left");
    assert!(staged.path.is_dir());
}

#[tokio::test]
async fn a_link_in_place_of_the_stores_directory_is_not_followed() {
    let fixture = Fixture::new();
    fixture.stage("a", EXPIRED).await;
    let (root, moved) = (fixture.root(), fixture.outside.path().join("moved"));
    let victim = fixture.outside.path().join("victim");
    fs::create_dir(&victim).unwrap();
    for file in fixture.files() {
        fs::copy(root.join(&file), victim.join(&file)).unwrap();
    }
    fs::rename(&root, &moved).unwrap();
    symlink(&victim, &root).unwrap();

    let report = sweep(&fixture.store, CleanupRequest::everything()).await;
    assert_eq!(report.removed, 1);
    fixture.stage("b", Ttl::default()).await;
    assert_eq!(names_in(&victim).len(), 1, "only the copies");
    assert_eq!(
        names_in(&moved).len(),
        2,
        "the lock file and the staged file"
    );
}

#[tokio::test]
async fn a_lock_file_that_cannot_be_opened_fails_stages_and_sweeps() {
    let fixture = Fixture::new();
    fixture.stage("a", EXPIRED).await;
    let (lock, victim) = (
        fixture.root().join(".lock"),
        fixture.outside.path().join("victim"),
    );
    for is_link in [false, true] {
        fs::remove_file(&lock).unwrap();
        match is_link {
            false => fs::create_dir(&lock).unwrap(),
            true => symlink(&victim, &lock).unwrap(),
        }
        let swept = CleanupService::new(fixture.store.clone());
        let swept = swept.oneshot(CleanupRequest::expired()).await.unwrap_err();
        assert!(matches!(swept, AttachmentError::Io { .. }));
        assert_eq!(swept.classification().class, ErrorClass::Io);
        let staged = fixture.store.stage_bytes("b", "b", Ttl::default()).await;
        let staged = staged.unwrap_err();
        assert!(matches!(staged, AttachmentError::Io { .. }));
        for text in [swept.to_string(), staged.to_string()] {
            assert!(text.contains("move away"), "{text}");
        }
        assert_eq!(fixture.files().len(), 1, "neither staged nor swept");
        if !is_link {
            fs::remove_dir(&lock).unwrap();
            fs::write(&lock, "").unwrap();
        }
    }
    assert!(!victim.exists(), "the link was followed");
}

#[tokio::test]
async fn a_removed_lock_file_is_created_again() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.root().join(".lock")).unwrap();
    fixture.stage("a", EXPIRED).await;
    fs::remove_file(fixture.root().join(".lock")).unwrap();
    assert_eq!(fixture.sweep().await.removed, 1);
}

#[tokio::test]
async fn a_file_in_place_of_the_stores_directory_is_an_error_that_names_it() {
    let fixture = Fixture::new();
    let file = fixture.outside.path().join("file");
    fs::write(&file, "").unwrap();
    let error = AttachmentStore::open(&file).unwrap_err();
    assert_eq!(error.classification().class, ErrorClass::Io);
    assert!(error.to_string().contains("file"), "{error}");
}
