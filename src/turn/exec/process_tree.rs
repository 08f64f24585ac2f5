//! Ending a process with everything below it.
//!
//! A process group is not enough: Codex starts its commands and MCP servers in sessions and groups of
//! their own, so a signal to its group reaches Codex alone, and what it started lives on. Where the
//! system tells who whose child is, the tree is walked before anything is killed, since the orphans
//! of a dead parent are no longer to be found.

use std::time::{Duration, Instant};
#[cfg(target_os = "linux")]
use std::{fs, path::Path, thread};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How many processes of a tree are ended at the most, so that the walk is sure to end.
const MOST: usize = 4096;

/// How long the processes of a tree may take to stop, all together. It is a matter of microseconds,
/// unless one is stuck in the kernel; then the rest of the tree is listed as it is.
const SETTLE_WITHIN: Duration = Duration::from_millis(100);
#[cfg(target_os = "linux")]
const SETTLE_PAUSE: Duration = Duration::from_micros(100);

/// Kills a process, its group, and everything below it.
///
/// A process that is gone by now is what was wanted, so errors are not looked at.
pub(super) fn kill(root: Pid) {
    let tree = stopped_tree(root);
    let _ = kill_process_group(root, Signal::KILL);
    for pid in tree {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// The processes below `root`, each stopped before its children are listed.
///
/// A stopped process starts no child that the list would miss. Nor does it reap one, which keeps the
/// number of a child that dies meanwhile from being given to a stranger before it is used here.
fn stopped_tree(root: Pid) -> Vec<Pid> {
    let deadline = Instant::now() + SETTLE_WITHIN;
    let mut tree = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        let _ = kill_process(parent, Signal::STOP);
        for child in children(parent, deadline) {
            if tree.len() == MOST {
                return tree;
            }
            tree.push(child);
            parents.push(child);
        }
    }
    tree
}

/// The children of a process that was told to stop, by each of its threads.
#[cfg(target_os = "linux")]
fn children(parent: Pid, deadline: Instant) -> Vec<Pid> {
    if !proc_is_ours() {
        return Vec::new();
    }
    let tasks = format!("/proc/{}/task", parent.as_raw_nonzero());
    let threads = || fs::read_dir(&tasks).into_iter().flatten().flatten();
    // The signal is sent by now, but a thread may be in the middle of starting a child.
    while !threads().all(|thread| has_stopped(&thread.path())) && Instant::now() < deadline {
        thread::sleep(SETTLE_PAUSE);
    }
    let lists = threads().filter_map(|thread| {
        let list = fs::read_to_string(thread.path().join("children"));
        list.ok()
    });
    lists
        .flat_map(|list| {
            let pids = list.split_whitespace().map(str::parse);
            pids.filter_map(|pid| Pid::from_raw(pid.ok()?))
                .collect::<Vec<_>>()
        })
        .filter(|child| parent_of(*child) == Some(parent))
        .collect()
}

/// Whether `/proc` numbers processes as this process does. In a container it may be the host's, and the
/// numbers in it strangers here.
#[cfg(target_os = "linux")]
fn proc_is_ours() -> bool {
    let ours = std::process::id().to_string();
    fs::read_link("/proc/self").is_ok_and(|told| told.as_os_str() == ours.as_str())
}

#[cfg(target_os = "linux")]
fn parent_of(child: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero())).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Pid::from_raw(fields.split(' ').nth(1)?.parse().ok()?)
}

/// Whether a thread is stopped, traced, or dead, by the letter behind its name (which is in
/// parentheses and may hold any character).
#[cfg(target_os = "linux")]
fn has_stopped(thread: &Path) -> bool {
    let Ok(stat) = fs::read_to_string(thread.join("stat")) else {
        return true;
    };
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('T' | 't' | 'Z' | 'X'))
}

/// Nothing tells it here: the group has to do.
#[cfg(not(target_os = "linux"))]
fn children(_: Pid, _: Instant) -> Vec<Pid> {
    Vec::new()
}
