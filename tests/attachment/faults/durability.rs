//! Tests of what survives a power failure: the order of the system calls, and failed syncs.

use std::{fs, path::Path};

use codex_telemetry::attachment::Ttl;

use super::{
    checks::listed_whole,
    child_process::{self, after},
    disk::check,
};
use crate::support::{EXPIRED, HOUR, names_in, open_at, start};

/// Returns a prefix that runs a command under `strace` with these arguments.
fn under_strace(arguments: &[&str]) -> Vec<String> {
    // Tried first, because a failed `strace` looks the same as a failed test.
    let mut prefix = after("strace -o /dev/null true");
    prefix.extend(["strace", "-f", "-y"].map(str::to_owned));
    prefix.extend(arguments.iter().map(|&argument| argument.to_owned()));
    prefix
}

/// Describes the system calls of a trace that concern a directory.
fn calls(trace: &str, directory: &Path) -> Vec<&'static str> {
    let directory = directory.to_str().unwrap();
    let calls = trace.lines().filter_map(|line| {
        let (_, behind) = line.split_once(directory)?;
        Some(if line.contains("rename") {
            "rename"
        } else if behind.starts_with("/.staging-") {
            "sync of the staging file"
        } else if behind.starts_with('/') {
            "sync of the attachment"
        } else {
            "sync of the directory"
        })
    });
    calls.collect()
}

#[test]
fn a_stage_syncs_the_file_and_its_expiry_before_the_rename_and_the_directory_after_it() {
    let outside = tempfile::tempdir().unwrap();
    let (directory, trace) = (outside.path().join("store"), outside.path().join("trace"));
    let prefix = under_strace(&[
        "-o",
        trace.to_str().unwrap(),
        "-e",
        "trace=fsync,?renameat,?renameat2",
    ]);
    let test = "faults::durability::three_stages_of_one_attachment";
    child_process::run(&prefix, test, &directory);
    let Ok(trace) = fs::read_to_string(trace) else {
        return;
    };
    let stage = [
        "sync of the staging file",
        "rename",
        "sync of the directory",
    ];
    // The second stage takes over the expiry of the first one, and syncs it before the rename.
    let mut second = stage.to_vec();
    second.insert(1, "sync of the staging file");
    // The third stage extends the leased attachment in place.
    let third = [
        "sync of the staging file",
        "sync of the attachment",
        "sync of the directory",
    ];
    let expected = [&stage[..], &second, &third].concat();
    assert_eq!(calls(&trace, &directory), expected, "{trace}");
}

#[tokio::test]
#[ignore = "runs under strace"]
async fn three_stages_of_one_attachment() {
    let Some(directory) = child_process::directory() else {
        return;
    };
    let (store, _) = open_at(&directory, start());
    let stage = |ttl| store.stage_bytes("a", "a", ttl);
    stage(Ttl::For(HOUR)).await.unwrap();
    let _leased = stage(EXPIRED).await.unwrap();
    stage(Ttl::For(2 * HOUR)).await.unwrap();
}

#[test]
fn a_failed_sync_of_the_file_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let prefix = under_strace(&["-o", "/dev/null", "-e", "inject=fsync:error=EIO"]);
    let test = "faults::durability::with_every_sync_failing";
    child_process::run(&prefix, test, directory.path());
}

#[tokio::test]
#[ignore = "runs with failing syncs"]
async fn with_every_sync_failing() {
    let Some(directory) = child_process::directory() else {
        return;
    };
    let (store, _) = open_at(&directory, start());
    let error = store.stage_bytes("a", "a", Ttl::default()).await;
    check(&error.unwrap_err(), &store, "check the disk");
    assert_eq!(names_in(&directory), [".lock"], "files were left behind");
}

#[test]
fn a_failed_sync_of_the_directory_is_an_error_and_the_attachment_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let prefix = under_strace(&["-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=2+"]);
    let test = "faults::durability::with_the_sync_of_the_directory_failing";
    child_process::run(&prefix, test, directory.path());
}

#[tokio::test]
#[ignore = "runs with a failing sync of the directory"]
async fn with_the_sync_of_the_directory_failing() {
    let Some(directory) = child_process::directory() else {
        return;
    };
    let (store, _) = open_at(&directory, start());
    let error = store.stage_bytes("a", "a", Ttl::default()).await;
    check(&error.unwrap_err(), &store, "check the disk");
    assert_eq!(listed_whole(&store).await.len(), 1);
}
