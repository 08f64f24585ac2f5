//! Ending a process with everything below it.
//!
//! A process group is not enough: Codex starts its commands and MCP servers in sessions and groups of
//! their own, so a signal to its group reaches Codex alone, and what it started lives on. Where the
//! system tells who whose child is, the tree is walked before anything is killed, since the orphans
//! of a dead parent are no longer to be found.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How many processes of a tree are ended at the most, so that the walk is sure to end.
const MOST: usize = 4096;

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
    let _ = kill_process(root, Signal::STOP);
    let mut tree = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            if tree.len() == MOST {
                return tree;
            }
            let _ = kill_process(child, Signal::STOP);
            tree.push(child);
            parents.push(child);
        }
    }
    tree
}

/// The children of a stopped process, by each of its threads.
#[cfg(target_os = "linux")]
fn children(parent: Pid) -> Vec<Pid> {
    let tasks = format!("/proc/{}/task", parent.as_raw_nonzero());
    let threads = std::fs::read_dir(tasks).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| {
        let list = std::fs::read_to_string(thread.path().join("children"));
        list.ok()
    });
    lists
        .flat_map(|list| {
            let pids = list.split_whitespace().map(str::parse);
            pids.filter_map(|pid| Pid::from_raw(pid.ok()?))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Nothing tells it here: the group has to do.
#[cfg(not(target_os = "linux"))]
fn children(_: Pid) -> Vec<Pid> {
    Vec::new()
}
