//! What happens while somebody else holds the store's lock.

use std::{
    fs::{self, File},
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
