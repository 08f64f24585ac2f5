//! The resources of this process and of its child processes, from `/proc`.

use std::{
    env, fs,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// A timeout that is never reached, not even on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// What a process should release.
#[derive(Debug)]
pub(crate) struct Resources {
    descriptors: Vec<String>,
    threads: Vec<String>,
    children: Vec<String>,
    temporary_files: Vec<PathBuf>,
}

/// The largest numbers of descriptors and threads that were seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peak {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

/// How much memory was resident when the observation began, in bytes.
pub(crate) struct PeakMemory(u64);

// === impl Resources ===

impl Resources {
    pub(crate) fn now() -> Self {
        Self {
            descriptors: descriptors(),
            threads: threads(),
            children: children(),
            temporary_files: temporary_files(),
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
            && self.temporary_files.len() <= before.temporary_files.len()
    }
}

// === impl PeakMemory ===

impl PeakMemory {
    /// Begins to observe the memory of this process.
    pub(crate) fn begin() -> Self {
        // Resets the maximum to what is resident now.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        Self(resident_memory())
    }

    /// Returns by how many bytes the memory has grown at most.
    pub(crate) fn grown(&self) -> u64 {
        memory("VmHWM:").saturating_sub(self.0)
    }
}

// === impl Peak ===

impl Peak {
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
        }
    }

    /// Observes this process until a future is ready.
    pub(crate) async fn during<F: Future>(&mut self, future: F) -> F::Output {
        let observe = async {
            loop {
                let count = |directory| fs::read_dir(directory).unwrap().count();
                *self = self.max(Self {
                    descriptors: count("/proc/self/fd"),
                    threads: count("/proc/self/task"),
                });
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            output = future => output,
            never = observe => never,
        }
    }
}

/// Waits until a condition is met.
pub(crate) async fn until(condition: &str, is_met: impl Fn() -> bool) {
    assert!(
        comes_true(is_met).await,
        "not within {TIMEOUT:?}: {condition}"
    );
}

/// Polls until a condition is met; returns `false` when it is not met in time.
pub(crate) async fn comes_true(is_met: impl Fn() -> bool) -> bool {
    let wait = async {
        while !is_met() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, wait).await.is_ok()
}

/// Returns a text for the temporary files of this process. No other process has it.
pub(crate) fn file_tag() -> &'static str {
    static TAG: LazyLock<String> =
        LazyLock::new(|| format!("soak-{:x}", RandomState::new().hash_one(0)));
    &TAG
}

/// Returns the files in the temporary directory that contain the tag.
fn temporary_files() -> Vec<PathBuf> {
    let entries = fs::read_dir(env::temp_dir()).unwrap().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let is_tagged = |path: &PathBuf| {
        let content = fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&content).contains(file_tag())
    };
    files
        .filter(|entry| entry.metadata().is_ok_and(|file| file.len() < 1000))
        .map(|entry| entry.path())
        .filter(is_tagged)
        .collect()
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

pub(crate) fn kill_tagged(tag: &str) {
    let pids = tagged(tag).into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?;
        Pid::from_raw(name.parse().ok()?)
    });
    for pid in pids {
        // An error means that it has exited.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Returns the resident memory of this process in bytes.
pub(crate) fn resident_memory() -> u64 {
    memory("VmRSS:")
}

fn memory(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
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
