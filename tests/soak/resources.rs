//! The resources of this process and of its child processes, from `/proc`.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// A timeout that is never reached, not even on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// What a process should release.
#[derive(Debug)]
pub(crate) struct Resources {
    descriptors: Vec<String>,
    threads: Vec<String>,
    children: Vec<String>,
}

impl Resources {
    pub(crate) fn now() -> Self {
        Self {
            descriptors: descriptors(),
            threads: threads(),
            children: children(),
        }
    }

    /// Waits until this process holds no more than `self`.
    #[track_caller]
    pub(crate) fn check(&self) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let now = Self::now();
            if now.is_within(self) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "before: {self:#?}\nnow: {now:#?}"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn is_within(&self, before: &Self) -> bool {
        self.descriptors.len() <= before.descriptors.len()
            && self.threads.len() <= before.threads.len()
            && self.children.len() <= before.children.len()
    }
}

fn descriptors() -> Vec<String> {
    // Skips the descriptor of this listing itself.
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|link| link.display().to_string())
        .filter(|link| !link.ends_with("/fd"))
        .collect()
}

fn threads() -> Vec<String> {
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    threads
        .filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok())
        .collect()
}

/// Returns the child processes of this one, including zombies.
fn children() -> Vec<String> {
    let us = std::process::id().to_string();
    let stats = processes().filter_map(|path| fs::read_to_string(path.join("stat")).ok());
    stats
        .filter(|stat| {
            let (_, fields) = stat.rsplit_once(") ").unwrap_or_default();
            fields.split(' ').nth(1) == Some(&us)
        })
        .collect()
}

/// Returns the processes whose environment contains `tag`.
pub(crate) fn tagged(tag: &str) -> Vec<PathBuf> {
    let is_tagged = |path: &PathBuf| {
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(tag)
    };
    processes().filter(is_tagged).collect()
}

/// Returns the resident memory of this process in bytes.
pub(crate) fn resident_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    1024 * kilobytes.parse::<u64>().unwrap()
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let is_number = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    };
    entries
        .map(|entry| entry.path())
        .filter(move |path| is_number(path))
}
