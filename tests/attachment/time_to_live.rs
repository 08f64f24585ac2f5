use std::{
    fs::File,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use codex_telemetry::attachment::{AttachmentStore, CleanupRequest, Expiry, Ttl};

use crate::support::{Fixture, HOUR, open_at, start, sweep};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn staging_again_extends_the_expiry_and_never_shortens_it() {
    let ttls = [
        Ttl::For(Duration::ZERO),
        Ttl::For(HOUR),
        Ttl::default(),
        Ttl::For(Duration::MAX),
        Ttl::Infinite,
        Ttl::Persistent,
    ];
    for (i, first) in ttls.into_iter().enumerate() {
        for (j, second) in ttls.into_iter().enumerate() {
            let fixture = Fixture::new();
            let longest = Fixture::new().stage("a", ttls[i.max(j)]).await.expiry;
            fixture.stage("a", first).await;
            let staged = fixture.stage("a", second).await;
            assert_eq!(staged.expiry, longest, "{first:?}, then {second:?}");
            let listed = fixture.store.list().await.unwrap();
            assert_eq!(listed, [staged], "{first:?}, then {second:?}");
        }
    }
}

#[tokio::test]
async fn the_default_time_to_live_is_a_day() {
    let fixture = Fixture::new();
    let staged = fixture.stage("a", Ttl::default()).await;
    assert_eq!(staged.expiry, Expiry::At(start() + DAY));
}

#[tokio::test]
async fn an_attachment_is_swept_at_its_expiry_and_not_before() {
    let fixture = Fixture::new();
    fixture.stage("a", Ttl::For(HOUR)).await;
    fixture.manual.advance(HOUR - Duration::from_nanos(1));
    let report = fixture.sweep().await;
    assert_eq!((report.removed, report.kept), (0, 1));
    fixture.manual.advance(Duration::from_nanos(1));
    let report = fixture.sweep().await;
    assert_eq!((report.removed, report.kept), (1, 0));
    assert!(fixture.files().is_empty());
}

#[tokio::test]
async fn a_file_with_a_time_before_1970_has_expired() {
    let fixture = Fixture::new();
    let staged = fixture.stage("a", Ttl::Persistent).await;
    let file = File::open(staged.path).unwrap();
    file.set_modified(UNIX_EPOCH - 10 * DAY).unwrap();
    let listed = fixture.store.list().await.unwrap();
    assert_eq!(listed[0].expiry, Expiry::At(UNIX_EPOCH));
    assert_eq!(fixture.sweep().await.removed, 1);
}

#[tokio::test]
async fn a_request_can_set_the_time_of_the_sweep() {
    let fixture = Fixture::new();
    fixture.stage("a", Ttl::For(HOUR)).await;
    let at = |time: SystemTime| CleanupRequest::expired().at(time);
    let early = sweep(&fixture.store, at(start())).await;
    assert_eq!(early.kept, 1);
    let late = sweep(&fixture.store, at(start() + HOUR)).await;
    assert_eq!(late.removed, 1);
}

#[tokio::test]
async fn only_a_cleanup_of_everything_removes_infinite_attachments_and_nothing_removes_persistent_ones()
 {
    let fixture = Fixture::new();
    fixture.stage("day", Ttl::default()).await;
    fixture.stage("infinite", Ttl::Infinite).await;
    let persistent = fixture.stage("persistent", Ttl::Persistent).await;
    assert_eq!(persistent.expiry, Expiry::Persistent);

    let year_2290 = start() + Duration::from_secs(8_300_000_000);
    let late = CleanupRequest::expired().at(year_2290);
    let report = sweep(&fixture.store, late).await;
    assert_eq!((report.removed, report.kept), (1, 2));
    fixture.stage("day", Ttl::default()).await;
    let report = sweep(&fixture.store, CleanupRequest::everything()).await;
    assert_eq!((report.removed, report.kept), (2, 1));
    assert_eq!(fixture.store.list().await.unwrap(), [persistent]);
}

#[tokio::test]
async fn a_store_that_is_opened_again_has_the_same_attachments() {
    let fixture = Fixture::new();
    for (name, ttl) in [
        ("hour", Ttl::For(HOUR)),
        ("infinite", Ttl::Infinite),
        ("persistent", Ttl::Persistent),
    ] {
        fixture.stage(name, ttl).await;
    }
    let before = fixture.store.list().await.unwrap();
    assert_eq!(before.len(), 3);
    let Fixture { store, outside, .. } = fixture;
    let root = store.directory().to_owned();
    drop(store);
    let (store, _) = open_at(&root, start() + DAY);
    assert_eq!(store.list().await.unwrap(), before);
    assert_eq!(sweep(&store, CleanupRequest::expired()).await.removed, 1);
    drop(outside);
}

#[tokio::test]
async fn a_clock_that_is_set_back_removes_nothing() {
    let fixture = Fixture::new();
    let staged = fixture.stage("a", Ttl::For(HOUR)).await;
    let (back, _) = open_at(fixture.store.directory(), start() - 10 * DAY);
    assert_eq!(sweep(&back, CleanupRequest::expired()).await.kept, 1);
    let again = back.stage_bytes("a", "a", Ttl::default()).await.unwrap();
    assert_eq!(again.expiry, staged.expiry);
}

#[tokio::test]
async fn two_stores_in_one_directory_share_their_attachments() {
    let fixture = Fixture::new();
    let (other, _) = open_at(fixture.store.directory(), start());
    let mut staged = other.stage_bytes("a", "a", Ttl::For(HOUR)).await.unwrap();
    staged.release();
    assert_eq!(fixture.stage("a", Ttl::For(Duration::ZERO)).await, staged);
    assert_eq!(fixture.sweep().await.kept, 1);
    let report = sweep(&other, CleanupRequest::everything()).await;
    assert_eq!(report.removed, 1);
    assert!(fixture.store.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_store_without_a_clock_uses_the_system_clock() {
    let outside = tempfile::tempdir().unwrap();
    let store = AttachmentStore::open(outside.path()).unwrap();
    let before = SystemTime::now();
    let staged = store.stage_bytes("a", "a", Ttl::For(HOUR)).await.unwrap();
    let (earliest, latest) = (before + HOUR, SystemTime::now() + HOUR);
    assert!(Expiry::At(earliest) <= staged.expiry && staged.expiry <= Expiry::At(latest));
    let modified = File::open(staged.path).unwrap().metadata().unwrap();
    assert_eq!(staged.expiry, Expiry::At(modified.modified().unwrap()));
}
