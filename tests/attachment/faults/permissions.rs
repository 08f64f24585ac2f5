use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use codex_telemetry::{
    ErrorClass,
    attachment::{AttachmentStore, CleanupRequest, Ttl},
};

use super::{
    disk::check,
    elsewhere::{self, after},
};
use crate::support::{EXPIRED, open_at, start, sweep};

const TO_DO: &str = "give this process the right to it";

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_the_process_has_no_right_to_is_named_and_left_as_it_is() {
    // Root may do anything until it gives that away.
    let mut before = after("[ \"$(id -u)\" != 0 ] || setpriv --bounding-set=-dac_override true");
    before.extend(after("true"));
    if rustix::process::geteuid().is_root() {
        let give_away = "--bounding-set=-dac_override,-dac_read_search";
        before.extend(["setpriv", give_away].map(str::to_owned));
    }
    let directory = tempfile::tempdir().unwrap();
    let test = "faults::permissions::without_the_right";
    elsewhere::run(&before, test, directory.path());
}

#[tokio::test]
#[ignore = "runs in a process that is not almighty"]
async fn without_the_right() {
    let Some(directory) = elsewhere::directory() else {
        return;
    };
    let root = directory.join("store");
    let (store, _) = open_at(&root, start());
    let staged = store.stage_bytes("a", "a", EXPIRED).await.unwrap();
    let stage = || store.stage_bytes("b", "b", Ttl::default());

    // Not to write into the directory: the sweep goes on, and tells of each file.
    set_mode(&root, 0o500);
    check(&stage().await.unwrap_err(), &store, TO_DO);
    let report = sweep(&store, CleanupRequest::expired()).await;
    assert_eq!((report.removed, report.failed), (0, 1));
    assert!(report.failures[0].file_name.ends_with("-a"));
    assert!(report.failures[0].error.contains("denied"), "{report:?}");
    assert_eq!(store.list().await.unwrap(), [staged]);

    // Not even to read it.
    set_mode(&root, 0);
    check(&AttachmentStore::open(&root).unwrap_err(), &store, TO_DO);

    // Not to take the lock.
    set_mode(&root, 0o700);
    set_mode(&root.join(".lock"), 0);
    check(&stage().await.unwrap_err(), &store, TO_DO);
    set_mode(&root.join(".lock"), 0o600);

    // Not to read what is to be staged.
    let source = directory.join("source");
    fs::write(&source, "secret").unwrap();
    set_mode(&source, 0);
    let error = store.stage_file(&source, Ttl::default()).await.unwrap_err();
    assert_eq!(error.classification().class, ErrorClass::Io);
    let text = error.to_string();
    assert!(text.contains("source") && text.contains(TO_DO), "{text}");

    assert_eq!(sweep(&store, CleanupRequest::expired()).await.removed, 1);
    stage().await.unwrap();
}
