use std::{
    fs::File,
    future::{Future, poll_fn},
    pin::pin,
};

use codex_telemetry::attachment::Ttl;

use crate::support::{EXPIRED, Fixture};

#[test]
fn a_caller_that_panics_during_a_stage_leaves_nothing_behind() {
    let fixture = Fixture::new();
    // A sparse file takes no space and some time to copy.
    let source = fixture.outside.path().join("source");
    File::create(&source).unwrap().set_len(512 << 20).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.unwrap();
    let store = fixture.store.clone();
    let caller = runtime.spawn(async move {
        let mut stage = pin!(store.stage_file(source, Ttl::default()));
        poll_fn(|cx| {
            assert!(stage.as_mut().poll(cx).is_pending());
            let staging = std::fs::read_dir(store.directory()).unwrap();
            // The lock file and the staging file.
            assert!(staging.count() < 2, "during the stage");
            cx.waker().wake_by_ref();
            std::task::Poll::<()>::Pending
        })
        .await;
    });
    let panic = runtime.block_on(caller).unwrap_err();
    assert!(panic.is_panic(), "{panic}");
    // Waits for the blocking thread.
    drop(runtime);
    assert!(fixture.files().is_empty(), "{:?}", fixture.files());

    // No lock is held.
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        fixture.stage("a", EXPIRED).await;
        assert_eq!(fixture.sweep().await.removed, 1);
    });
}
