//! The processes of the program, from `/proc`. None is found by its name alone: others may run on the machine.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::PATIENCE;

/// What one process uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// Resident, in bytes.
    pub(crate) memory: u64,
}

/// A process, by its id and its start time. An id alone can be that of a later process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Process {
    pid: Pid,
    start: u64,
}

// === impl Usage ===

impl Usage {
    pub(crate) fn of(process: Pid) -> Self {
        let directory = directory(process);
        let count = |name| {
            let entries = fs::read_dir(directory.join(name));
            entries.expect("the program runs").count()
        };
        let status = fs::read_to_string(directory.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        Self {
            descriptors: count("fd"),
            threads: count("task"),
            memory: 1024 * kilobytes.unwrap_or(0),
        }
    }
}

// === impl Process ===

impl Process {
    /// Returns whether it has not exited. A zombie has.
    fn is_running(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.start == self.start && stat.state != "Z")
    }
}

/// Returns a handle to the Codex server that is a child process of `program`. It stays one of this process, whatever
/// happens to its id.
pub(crate) fn codex_server(program: Pid) -> Option<OwnedFd> {
    let is_server = |pid: Pid| {
        let command = fs::read(directory(pid).join("cmdline")).unwrap_or_default();
        let is_child = stat(pid).is_some_and(|stat| stat.parent == program.as_raw_nonzero().get());
        is_child && command.ends_with(b"\0app-server\0")
    };
    let pid = processes().find(|pid| is_server(*pid))?;
    let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // Between the two looks the id may have become that of another process.
    is_server(pid).then_some(handle)
}

/// Returns all processes below `program`.
pub(crate) fn below(program: Pid) -> Vec<Process> {
    let stats: Vec<_> = processes()
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect();
    let mut found = Vec::new();
    let mut parents = vec![program.as_raw_nonzero().get()];
    while let Some(parent) = parents.pop() {
        for (pid, stat) in stats.iter().filter(|(_, stat)| stat.parent == parent) {
            parents.push(pid.as_raw_nonzero().get());
            found.push(Process {
                pid: *pid,
                start: stat.start,
            });
        }
    }
    found
}

/// Waits until neither these processes run nor any with the tag in its environment.
#[track_caller]
pub(crate) fn assert_gone(what: &str, known: &[Process], tag: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let known = known.iter().filter(|process| process.is_running());
        let left: Vec<_> = known
            .map(|process| process.pid)
            .chain(tagged(tag))
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{what} left processes for {PATIENCE:?}: {:?}",
            left.iter().map(|pid| described(*pid)).collect::<Vec<_>>()
        );
        thread::sleep(Duration::from_millis(10));
    }
}

fn tagged(tag: &str) -> impl Iterator<Item = Pid> {
    // The environment of a zombie is empty.
    processes().filter(move |pid| {
        let environment = fs::read(directory(*pid).join("environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == tag.as_bytes())
    })
}

fn described(pid: Pid) -> String {
    let command = fs::read(directory(pid).join("cmdline")).unwrap_or_default();
    format!(
        "{}: {}",
        pid.as_raw_nonzero(),
        String::from_utf8_lossy(&command).replace('\0', " ")
    )
}

struct Stat {
    state: String,
    parent: i32,
    start: u64,
}

fn stat(pid: Pid) -> Option<Stat> {
    let stat = fs::read_to_string(directory(pid).join("stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = fields.split(' ').collect();
    Some(Stat {
        state: (*fields.first()?).to_owned(),
        parent: fields.get(1)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

fn directory(pid: Pid) -> PathBuf {
    Path::new("/proc").join(pid.as_raw_nonzero().to_string())
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").expect("Linux has it").flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}
