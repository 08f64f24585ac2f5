//! Ending a process with everything below it.
//!
//! A process group is not enough: Codex starts its commands and MCP servers in sessions and groups of
//! their own, so a signal to its group reaches Codex alone, and what it started lives on. Where the
//! system tells who whose child is, the tree is walked before anything is killed, since the orphans
//! of a dead parent are no longer to be found.

use std::time::{Duration, Instant};
#[cfg(target_os = "linux")]
use std::{fs, path::PathBuf, thread};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

#[cfg(target_os = "linux")]
use super::proc_fs;

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
pub(in crate::turn) fn kill(root: Pid) {
    // From the leaves: the system continues what is stopped and loses its parent in some cases, and what
    // runs can start more.
    for pid in stopped_tree(root).into_iter().rev() {
        let _ = kill_process(pid, Signal::KILL);
    }
    let _ = kill_process_group(root, Signal::KILL);
    // A orphan need not lead a group.
    let _ = kill_process(root, Signal::KILL);
}

/// The processes below `root`, each behind its parent and stopped before its children are listed.
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
    if !proc_fs::is_ours() {
        return Vec::new();
    }
    let threads = || {
        let tasks = fs::read_dir(directory(parent).join("task"));
        tasks
            .into_iter()
            .flatten()
            .flatten()
            .map(|task| task.path())
    };
    // The signal is sent by now, but a thread may be in the middle of starting a child.
    let has_stopped = |thread: PathBuf| {
        let stat = proc_fs::stat(&thread);
        stat.is_none_or(|stat| matches!(stat.state, 'T' | 't' | 'Z' | 'X'))
    };
    while !threads().all(has_stopped) && Instant::now() < deadline {
        thread::sleep(SETTLE_PAUSE);
    }
    let lists = threads().filter_map(|thread| fs::read_to_string(thread.join("children")).ok());
    lists
        .flat_map(|list| {
            let pids = list.split_whitespace().map(str::parse);
            pids.filter_map(|pid| Pid::from_raw(pid.ok()?))
                .collect::<Vec<_>>()
        })
        .filter(|child| {
            proc_fs::stat(&directory(*child)).and_then(|stat| stat.parent) == Some(parent)
        })
        .collect()
}

#[cfg(target_os = "linux")]
fn directory(pid: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()))
}

/// Nothing tells it here: the group has to do.
#[cfg(not(target_os = "linux"))]
fn children(_: Pid, _: Instant) -> Vec<Pid> {
    Vec::new()
}
