use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use codex_telemetry::{
    ErrorClass,
    attachment::{CleanupRequest, CleanupService, Ttl},
};
use tower::ServiceExt;

use super::checks::{Neighbourhood, listed_whole};
use crate::support::{names_in, open_at, start};

const ROUNDS: usize = 60;

/// Replaces each file of the store by a link, until `done`. Returns the number of replaced files.
fn swap_until(done: &AtomicBool, store: &Path, victim: &Path) -> usize {
    let neighbours = names_in(store);
    let mut swapped = 0;
    while !done.load(Relaxed) {
        for name in names_in(store) {
            let path = store.join(&name);
            if neighbours.contains(&name) || path.is_symlink() {
                continue;
            }
            // The store may have renamed or removed the file.
            if fs::remove_file(&path).is_ok() && symlink(victim, &path).is_ok() {
                swapped += 1;
            }
        }
    }
    swapped
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_in_place_of_the_stores_files_are_never_followed() {
    let neighbourhood = Neighbourhood::new();
    let root = neighbourhood.store();
    let (store, _) = open_at(&root, start());
    let done = Arc::new(AtomicBool::new(false));
    let swapper = {
        let (done, root) = (Arc::clone(&done), root.clone());
        let victim = neighbourhood.victim().join("file");
        thread::spawn(move || swap_until(&done, &root, &victim))
    };
    for round in 0..ROUNDS {
        let content = vec![b'x'; round * 1_000];
        let staged = store.stage_bytes("a", content, Ttl::default()).await;
        if let Err(error) = staged {
            assert_eq!(error.classification().class, ErrorClass::Io, "{error}");
        }
        let swept = CleanupService::new(store.clone());
        if let Err(error) = swept.oneshot(CleanupRequest::everything()).await {
            assert_eq!(error.classification().class, ErrorClass::Io, "{error}");
        }
        // The store never removes a link in place of its lock file.
        if root.join(".lock").is_symlink() {
            fs::remove_file(root.join(".lock")).unwrap();
        }
    }
    done.store(true, Relaxed);
    assert!(swapper.join().unwrap() > 0, "nothing was swapped");
    neighbourhood.check_outside();

    for name in neighbourhood.files() {
        assert!(
            root.join(&name).is_symlink() || !name.starts_with('.'),
            "{name}"
        );
    }
    listed_whole(&store).await;
}
