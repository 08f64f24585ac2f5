//! What a power failure would leave is not to be seen by a test; in which order the system is asked to keep
//! things is, and so is what becomes of a stage when it says that it did not.

use std::{fs, path::Path};

use codex_telemetry::attachment::Ttl;

use super::{
    checks::listed_whole,
    disk::check,
    elsewhere::{self, after},
};
use crate::support::{EXPIRED, HOUR, names_in, open_at, start};

/// A command line that runs what follows it, and writes down or spoils what that asks the system for.
fn under_strace(arguments: &[&str]) -> Vec<String> {
    // Asked first: that it may not trace could not be told from a test that failed.
    let mut before = after("strace -o /dev/null true");
    before.extend(["strace", "-f", "-y"].map(str::to_owned));
    before.extend(arguments.iter().map(|&argument| argument.to_owned()));
    before
}

/// The calls of a trace that concern a directory, by what they are and what they are about.
fn calls(trace: &str, directory: &Path) -> Vec<&'static str> {
    let directory = directory.to_str().unwrap();
    let told = trace.lines().filter_map(|line| {
        let (_, behind) = line.split_once(directory)?;
        Some(if line.contains("rename") {
            "rename"
        } else if behind.starts_with("/.staging-") {
            "sync of what is staged"
        } else if behind.starts_with('/') {
            "sync of the attachment"
        } else {
            "sync of the directory"
        })
    });
    told.collect()
}

#[test]
fn an_attachment_is_kept_before_it_has_its_name_and_its_name_before_it_is_told() {
    let outside = tempfile::tempdir().unwrap();
    let (directory, trace) = (outside.path().join("store"), outside.path().join("trace"));
    let before = under_strace(&[
        "-o",
        trace.to_str().unwrap(),
        "-e",
        "trace=fsync,?renameat,?renameat2",
    ]);
    let test = "faults::durability::two_stages_of_one_attachment";
    elsewhere::run(&before, test, &directory);
    let Ok(trace) = fs::read_to_string(trace) else {
        return;
    };
    let stage = ["sync of what is staged", "rename", "sync of the directory"];
    // The expiry that the second one takes over is written last.
    let mut anew = stage.to_vec();
    anew.insert(2, "sync of the attachment");
    let expected = [&stage[..], &anew].concat();
    assert_eq!(calls(&trace, &directory), expected, "{trace}");
}

#[tokio::test]
#[ignore = "runs where it is written down what it asks the system for"]
async fn two_stages_of_one_attachment() {
    let Some(directory) = elsewhere::directory() else {
        return;
    };
    let (store, _) = open_at(&directory, start());
    for ttl in [Ttl::For(HOUR), EXPIRED] {
        store.stage_bytes("a", "a", ttl).await.unwrap();
    }
}

#[test]
fn a_disk_that_does_not_keep_what_is_staged_refuses_it_whole() {
    let directory = tempfile::tempdir().unwrap();
    let before = under_strace(&["-o", "/dev/null", "-e", "inject=fsync:error=EIO"]);
    let test = "faults::durability::where_nothing_is_kept";
    elsewhere::run(&before, test, directory.path());
}

#[tokio::test]
#[ignore = "runs where the system fails to sync"]
async fn where_nothing_is_kept() {
    let Some(directory) = elsewhere::directory() else {
        return;
    };
    let (store, _) = open_at(&directory, start());
    let error = store.stage_bytes("a", "a", Ttl::default()).await;
    check(&error.unwrap_err(), &store, "see to its disk");
    assert_eq!(names_in(&directory), [".lock"], "something was left behind");
}

#[test]
fn a_disk_that_does_not_keep_the_name_is_told_and_the_attachment_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let before = under_strace(&["-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=2+"]);
    let test = "faults::durability::where_no_name_is_kept";
    elsewhere::run(&before, test, directory.path());
}

#[tokio::test]
#[ignore = "runs where the system fails to sync a directory"]
async fn where_no_name_is_kept() {
    let Some(directory) = elsewhere::directory() else {
        return;
    };
    let (store, _) = open_at(&directory, start());
    let error = store.stage_bytes("a", "a", Ttl::default()).await;
    check(&error.unwrap_err(), &store, "see to its disk");
    assert_eq!(listed_whole(&store).await.len(), 1);
}
