//! Kills a process with everything below it.
//!
//! A signal to the process group is not enough: Codex starts its commands and MCP servers in sessions and
//! groups of their own. On Linux, which lists the children of a process, the whole tree is listed before
//! anything is killed, since the children of a dead parent cannot be found any more.

use std::time::{Duration, Instant};
#[cfg(target_os = "linux")]
use std::{fs, path::PathBuf, thread};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

#[cfg(target_os = "linux")]
use super::proc_fs;

/// The maximum number of processes in a tree, so that the walk terminates.
const MAX_PROCESSES: usize = 4096;

/// How long the processes of a tree may take to stop, in total. They need microseconds, unless one is stuck
/// in the kernel; the rest of the tree is then listed while it runs.
const STOP_TIMEOUT: Duration = Duration::from_millis(100);
#[cfg(target_os = "linux")]
const STOP_POLL_INTERVAL: Duration = Duration::from_micros(100);

/// Kills a process, its group, and everything below it.
///
/// It ignores errors, which mean that a process has exited.
pub(in crate::turn) fn kill(root: Pid) {
    // From the leaves: the kernel may continue a stopped process whose parent dies, and a running process
    // can start others.
    for pid in stopped_tree(root).into_iter().rev() {
        let _ = kill_process(pid, Signal::KILL);
    }
    let _ = kill_process_group(root, Signal::KILL);
    // An orphaned process may not lead a group.
    let _ = kill_process(root, Signal::KILL);
}

/// Stops `root` and returns the processes below it, each one after its parent. Each process is stopped before
/// its children are listed.
///
/// A stopped process starts no child that the list would miss. It reaps no child either, so the id of a child
/// that exits meanwhile is not reused.
fn stopped_tree(root: Pid) -> Vec<Pid> {
    let deadline = Instant::now() + STOP_TIMEOUT;
    let mut tree = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        let _ = kill_process(parent, Signal::STOP);
        for child in children(parent, deadline) {
            if tree.len() == MAX_PROCESSES {
                return tree;
            }
            tree.push(child);
            parents.push(child);
        }
    }
    tree
}

/// Returns the children of a process that was sent SIGSTOP, of all its threads.
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
    // A thread may still be starting a child.
    let has_stopped = |thread: PathBuf| {
        let stat = proc_fs::stat(&thread);
        stat.is_none_or(|stat| matches!(stat.state, 'T' | 't' | 'Z' | 'X'))
    };
    while !threads().all(has_stopped) && Instant::now() < deadline {
        thread::sleep(STOP_POLL_INTERVAL);
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

/// Returns nothing: only Linux lists the children of a process.
#[cfg(not(target_os = "linux"))]
fn children(_: Pid, _: Instant) -> Vec<Pid> {
    Vec::new()
}
