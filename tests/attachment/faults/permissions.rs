use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use codex_telemetry::{
    ErrorClass,
    attachment::{AttachmentStore, CleanupRequest, Ttl},
};

use super::{
    child_process::{self, after},
    disk::check,
};
use crate::support::{EXPIRED, open_at, start, sweep};

const ADVICE: &str = "grant this process access";

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_missing_permission_is_an_error_that_names_the_file() {
    // Root must drop its capabilities first.
    let mut prefix = after("[ \"$(id -u)\" != 0 ] || setpriv --bounding-set=-dac_override true");
    prefix.extend(after("true"));
    if rustix::process::geteuid().is_root() {
        let drop_capabilities = "--bounding-set=-dac_override,-dac_read_search";
        prefix.extend(["setpriv", drop_capabilities].map(str::to_owned));
    }
    let directory = tempfile::tempdir().unwrap();
    let test = "faults::permissions::without_permissions";
    child_process::run(&prefix, test, directory.path());
}

#[tokio::test]
#[ignore = "runs without capabilities"]
async fn without_permissions() {
    let Some(directory) = child_process::directory() else {
        return;
    };
    let root = directory.join("store");
    let (store, _) = open_at(&root, start());
    let mut staged = store.stage_bytes("a", "a", EXPIRED).await.unwrap();
    staged.release();
    let stage = || store.stage_bytes("b", "b", Ttl::default());

    // The directory is not writable: the sweep goes on and reports each file.
    set_mode(&root, 0o500);
    check(&stage().await.unwrap_err(), &store, ADVICE);
    let report = sweep(&store, CleanupRequest::expired()).await;
    assert_eq!((report.removed, report.failed), (0, 1));
    assert!(report.failures[0].file_name.ends_with("-a"));
    assert!(report.failures[0].error.contains("denied"), "{report:?}");
    assert_eq!(store.list().await.unwrap(), [staged]);

    // The directory is not readable.
    set_mode(&root, 0);
    check(&AttachmentStore::open(&root).unwrap_err(), &store, ADVICE);

    // The lock file is not readable.
    set_mode(&root, 0o700);
    set_mode(&root.join(".lock"), 0);
    check(&stage().await.unwrap_err(), &store, ADVICE);
    set_mode(&root.join(".lock"), 0o600);

    // The source is not readable.
    let source = directory.join("source");
    fs::write(&source, "secret").unwrap();
    set_mode(&source, 0);
    let error = store.stage_file(&source, Ttl::default()).await.unwrap_err();
    assert_eq!(error.classification().class, ErrorClass::Io);
    let text = error.to_string();
    assert!(text.contains("source") && text.contains(ADVICE), "{text}");

    assert_eq!(sweep(&store, CleanupRequest::expired()).await.removed, 1);
    stage().await.unwrap();
}
