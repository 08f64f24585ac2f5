use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use codex_telemetry::attachment::{CleanupReport, CleanupRequest, Ttl};

use crate::support::{EXPIRED, Fixture, HOUR, open_at, start, sweep};

const STAGERS: usize = 6;
const SWEEPERS: usize = 2;
const ROUNDS: usize = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_sweeps_keep_the_attachments_that_concurrent_stages_extend() {
    let fixture = Fixture::new();
    let done = Arc::new(AtomicBool::new(false));
    let sweepers: Vec<_> = (0..SWEEPERS)
        .map(|_| {
            // A separate handle, as in another process.
            let (store, _) = open_at(fixture.store.directory(), start());
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                let mut removed = 0;
                while !done.load(Relaxed) {
                    let report = sweep(&store, CleanupRequest::expired()).await;
                    assert_eq!(report.failed, 0, "{report:?}");
                    assert_eq!(report.leftovers, 0, "no writer died");
                    removed += report.removed;
                }
                removed
            })
        })
        .collect();
    let stagers: Vec<_> = (0..STAGERS)
        .map(|stager| {
            let (store, _) = open_at(fixture.store.directory(), start());
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    // Two stagers write the same content, which takes several buffers.
                    let name = format!("{}-{round}", stager / 2);
                    let content = name.repeat(100_000);
                    let stage = |ttl| store.stage_bytes(name.clone(), content.clone(), ttl);
                    stage(EXPIRED).await.unwrap();
                    let staged = stage(Ttl::For(HOUR)).await.unwrap();
                    let read = fs::read_to_string(staged.path);
                    assert!(
                        read.is_ok_and(|read| read == content),
                        "{name} is not whole"
                    );
                }
            })
        })
        .collect();
    for stager in stagers {
        stager.await.unwrap();
    }
    done.store(true, Relaxed);
    let mut removed = 0;
    for sweeper in sweepers {
        removed += sweeper.await.unwrap();
    }

    let listed = fixture.store.list().await.unwrap();
    assert_eq!(listed.len(), STAGERS / 2 * ROUNDS, "{removed} were swept");
    assert_eq!(fixture.files().len(), listed.len(), "nothing else is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_sweeps_count_each_file_once() {
    let fixture = Fixture::new();
    for i in 0..2000 {
        let name = format!("{}-{i}", "ab".repeat(32));
        fs::write(fixture.root().join(name), "xy").unwrap();
    }
    let sweeps: Vec<_> = (0..4)
        .map(|_| {
            let (store, _) = open_at(fixture.store.directory(), start());
            tokio::spawn(async move { sweep(&store, CleanupRequest::everything()).await })
        })
        .collect();
    let mut total = CleanupReport::default();
    for sweep in sweeps {
        let report = sweep.await.unwrap();
        total.removed += report.removed;
        total.removed_bytes += report.removed_bytes;
        total.failed += report.failed;
    }
    assert_eq!(
        (total.removed, total.removed_bytes, total.failed),
        (2000, 4000, 0)
    );
    assert!(fixture.files().is_empty());
}
