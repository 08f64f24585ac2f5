use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::{events::Events, program::DEADLINE};

/// The state directory of a program, which outlives the program.
pub(crate) struct State(TempDir);

impl State {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns what the program has logged on standard error.
    pub(crate) fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    pub(crate) fn events(&self) -> Events {
        Events::read(&self.path().join("events.jsonl"))
    }

    /// Returns the turns of a thread, as the stand-in has written them down.
    pub(crate) fn turns_of(&self, thread: &str) -> Vec<Value> {
        let rollout = format!("codex-home/sessions/rollout-{thread}.jsonl");
        let text = fs::read_to_string(self.path().join(rollout)).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Panics if somebody has a lease of a caller's uploads.
    pub(crate) fn assert_no_lease(&self, caller: &str) {
        for upload in self.uploads(caller) {
            // A lease is a lock.
            let locked = File::open(&upload).unwrap().try_lock();
            assert!(locked.is_ok(), "{upload}: {locked:?}");
        }
    }

    /// Waits until no process is left that was started for this directory.
    pub(crate) async fn no_process_is_left(&self) {
        let gone = async {
            while !self.processes().is_empty() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let gone = timeout(DEADLINE, gone).await;
        let left = self.processes();
        let commands = left
            .iter()
            .map(|process| fs::read_to_string(process.join("cmdline")));
        assert!(gone.is_ok(), "left: {:?}", commands.collect::<Vec<_>>());
    }

    /// Returns the directories in `/proc` of the processes that name this directory in their command line or environment.
    pub(crate) fn processes(&self) -> Vec<PathBuf> {
        let path = self.path().to_str().unwrap();
        let names = |file: PathBuf| {
            // A process that has ended meanwhile has none.
            let text = fs::read(file).unwrap_or_default();
            String::from_utf8_lossy(&text).contains(path)
        };
        let processes = fs::read_dir("/proc").unwrap();
        processes
            .filter_map(|process| Some(process.ok()?.path()))
            .filter(|process| names(process.join("cmdline")) || names(process.join("environ")))
            .collect()
    }

    /// Returns the files of a caller's uploads.
    pub(crate) fn uploads(&self, caller: &str) -> Vec<String> {
        let mut files = Vec::new();
        let uploads = self.path().join("callers").join(caller).join("attachments");
        collect(&uploads, &mut files);
        let names = files.iter().map(|file| file.display().to_string());
        names.filter(|name| !name.ends_with("/.lock")).collect()
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
