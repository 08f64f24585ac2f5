//! What happens while somebody else holds the store's lock.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    sync::mpsc,
    task::{Context, Waker},
    thread,
    time::Duration,
};

use codex_telemetry::attachment::{AttachmentStore, CleanupRequest, CleanupService, Ttl};
use tower::ServiceExt;

use crate::support::{EXPIRED, Fixture, wait_for_waiter};

/// Far longer than any of the tests takes, but shorter than the 30 seconds after which a wait fails by itself.
const DEADLINE: Duration = Duration::from_secs(20);

/// Locks a store as another process does, which may be stopped and never release it.
fn lock(fixture: &Fixture) -> File {
    let lock = File::open(fixture.root().join(".lock")).unwrap();
    lock.lock().unwrap();
    lock
}

/// Runs a future until it waits for the store's lock, drops it, and checks that the runtime shuts down.
fn check_that_the_runtime_shuts_down<F: Future>(fixture: &Fixture, future: impl FnOnce() -> F) {
    let lock = lock(fixture);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.unwrap();
    {
        let _entered = runtime.enter();
        let mut future = Box::pin(future());
        let polled = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        wait_for_waiter(&fixture.root().join(".lock"));
    }
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // Waits for the blocking thread.
        drop(runtime);
        sender.send(()).unwrap();
    });
    receiver.recv_timeout(DEADLINE).expect("the runtime hangs");
    drop(lock);
}

#[test]
fn a_stage_that_is_dropped_while_it_waits_for_the_lock_lets_the_runtime_shut_down() {
    let fixture = Fixture::new();
    let store = fixture.store.clone();
    check_that_the_runtime_shuts_down(&fixture, || async move {
        store.stage_bytes("a", "a", Ttl::default()).await
    });
    assert!(fixture.files().is_empty());
}

#[test]
fn a_sweep_that_is_dropped_while_it_waits_for_the_lock_lets_the_runtime_shut_down() {
    let fixture = Fixture::new();
    let expired = fixture.root().join(format!("{}-a", "ab".repeat(32)));
    fs::write(&expired, "a").unwrap();
    let service = CleanupService::new(fixture.store.clone());
    check_that_the_runtime_shuts_down(&fixture, || service.oneshot(CleanupRequest::expired()));
    assert!(expired.exists());
}

#[test]
fn opening_a_store_does_not_wait_for_the_lock() {
    let fixture = Fixture::new();
    let lock = lock(&fixture);
    let (sender, receiver) = mpsc::channel();
    let root = fixture.root();
    thread::spawn(move || sender.send(AttachmentStore::open(root)));
    let opened = receiver.recv_timeout(DEADLINE).expect("it waits");
    opened.unwrap();
    drop(lock);
}

#[tokio::test]
async fn a_stage_goes_on_once_the_lock_is_free() {
    let fixture = Fixture::new();
    let lock = lock(&fixture);
    let store = fixture.store.clone();
    let stage = tokio::spawn(async move { store.stage_bytes("a", "a", EXPIRED).await });
    let path = fixture.root().join(".lock");
    let waits = tokio::task::spawn_blocking(move || wait_for_waiter(&path));
    waits.await.unwrap();
    drop(lock);
    let staged = tokio::time::timeout(DEADLINE, stage).await;
    staged.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_foreign_lock_on_an_attachment_holds_up_no_stage() {
    let fixture = Fixture::new();
    let staged = fixture.stage("a", EXPIRED).await;
    // As a backup that locks each file that it copies.
    let foreign = File::open(&staged.path).unwrap();
    foreign.lock().unwrap();
    let stage = fixture.store.stage_bytes("a", "a", Ttl::default());
    let staged = tokio::time::timeout(DEADLINE, stage).await;
    let staged = staged.expect("it waits").unwrap();
    assert!(staged.is_leased());
    drop(foreign);
}

#[tokio::test]
async fn a_leased_attachment_that_takes_long_to_check_holds_up_no_other_stage() {
    let fixture = Fixture::new();
    let leased = fixture.store.stage_bytes("a", "a", EXPIRED).await.unwrap();
    // A file that takes hours to read, without a byte on the disk.
    let mut permissions = fs::metadata(&leased.path).unwrap().permissions();
    permissions.set_mode(0o600);
    fs::set_permissions(&leased.path, permissions).unwrap();
    let file = File::options().write(true).open(&leased.path).unwrap();
    file.set_len(1 << 40).unwrap();
    drop(file);

    let store = fixture.store.clone();
    let checks = tokio::spawn(async move { store.stage_bytes("a", "a", EXPIRED).await });
    let path = leased.path.clone();
    let starts = tokio::task::spawn_blocking(move || wait_for_waiter(&path));
    starts.await.unwrap();
    let other = fixture.store.stage_bytes("b", "b", EXPIRED);
    let other = tokio::time::timeout(DEADLINE, other).await;
    other.expect("it waits").unwrap();
    assert!(!checks.is_finished());
    checks.abort();
}
