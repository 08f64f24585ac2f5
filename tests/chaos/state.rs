//! What is left in the directories of the program.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use codex_telemetry::attachment::{AttachmentStore, CleanupRequest, CleanupService};
use tower::ServiceExt;

use crate::{PATIENCE, callers::CALLERS, program::Setup};

/// Checks that there is no file that the program does not know.
pub(crate) fn check_files(setup: &Setup) {
    let mut strangers: Vec<_> = files(&setup.temporary());
    let state = setup.state();
    for path in files(&state) {
        let relative = path.strip_prefix(&state).expect("a file below it");
        let parts: Vec<_> = relative.iter().filter_map(|part| part.to_str()).collect();
        let is_known = match &*parts {
            ["lock" | "events.jsonl"] => true,
            ["callers", _, "turns.jsonl"] => true,
            ["callers", _, "attachments", ".lock"] => true,
            ["callers", _, "attachments", name] => is_attachment(name),
            ["codex-home", "sessions", name] => {
                name.starts_with("rollout-") && name.ends_with(".jsonl")
            }
            _ => false,
        };
        if !is_known {
            strangers.push(path);
        }
    }
    assert!(strangers.is_empty(), "files are left: {strangers:?}");
}

/// Returns whether a name is that of a file that is complete: not one that is being written.
fn is_attachment(name: &str) -> bool {
    let hash = name.split_once('-').map(|(hash, _)| hash);
    hash.is_some_and(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Waits until no upload is leased: each can be locked. A lease ends with its process.
pub(crate) fn check_leases(setup: &Setup, number: usize) {
    let deadline = Instant::now() + PATIENCE;
    for caller in CALLERS {
        for path in files(&attachments(setup, caller.0)) {
            let file = fs::File::open(&path).expect("nobody removes it");
            while let Err(error) = file.try_lock() {
                assert!(
                    Instant::now() < deadline,
                    "life {number} was killed, and {path:?} is still leased: {error}"
                );
                thread::yield_now();
            }
        }
    }
}

/// Removes all uploads, and returns how many there were. None is leased, and nothing else is there.
pub(crate) async fn sweep(setup: &Setup) -> u64 {
    let mut removed = 0;
    for caller in CALLERS {
        let directory = attachments(setup, caller.0);
        let store = AttachmentStore::open(&directory).expect("the store of a caller");
        let sweep = CleanupService::new(store).oneshot(CleanupRequest::everything());
        let report = sweep.await.expect("nobody has the lock");
        let (kept, leftovers) = (report.kept, report.leftovers);
        assert_eq!((kept, leftovers), (0, 0), "{caller:?}: {report:?}");
        assert_eq!(report.failed, 0, "{caller:?}: {report:?}");
        removed += report.removed;
        let left = files(&directory);
        assert!(
            left.iter().all(|path| path.ends_with(".lock")),
            "{caller:?}: {left:?}"
        );
    }
    removed
}

fn attachments(setup: &Setup, caller: &str) -> PathBuf {
    setup
        .state()
        .join("callers")
        .join(caller)
        .join("attachments")
}

/// Returns all that is below a directory and is no directory itself.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory").flatten() {
            match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => directories.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found
}
