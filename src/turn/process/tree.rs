//! Kills a process with everything below it.
//!
//! A signal to the process group is not enough: Codex starts its commands and MCP servers in sessions and
//! groups of their own. On Linux, which lists the children of a process, the tree is walked from the top, and
//! each process is stopped before its children are listed: the children of a dead parent cannot be found any
//! more. Elsewhere a tree is its root.

#[cfg(target_os = "linux")]
use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

use super::handle::ProcessHandle;
#[cfg(target_os = "linux")]
use super::proc_fs;

/// The maximum number of processes in a tree, so that the walk terminates.
#[cfg(target_os = "linux")]
const MAX_PROCESSES: usize = 4096;

/// The maximum number of processes that are watched while their tree is killed: their lines fit into the pipe to the
/// watchdog also when it does not read.
#[cfg(target_os = "linux")]
const MAX_WATCHED: usize = 512;

/// How long one process may take to stop. It needs microseconds, unless it is stuck in the kernel; it starts no
/// child there, and its children are listed all the same.
#[cfg(target_os = "linux")]
const STOP_TIMEOUT: Duration = Duration::from_millis(50);

/// How long all processes of a tree together may take to stop.
#[cfg(target_os = "linux")]
const TREE_STOP_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(target_os = "linux")]
const STOP_POLL_INTERVAL: Duration = Duration::from_micros(100);

/// A process that was killed, with its start time.
pub(super) type Killed = (Pid, u64);

/// Kills a process and everything below it. Returns what was killed below it.
///
/// What is below it is watched meanwhile. If this program exits in the middle, the kernel hangs up on a root that
/// is stopped, and what was below the root cannot be found any more.
#[cfg(target_os = "linux")]
pub(super) fn kill_watched<W>(
    root: &ProcessHandle,
    watch: impl Fn(&ProcessHandle) -> Option<W>,
) -> Vec<Killed> {
    let mut watched = Vec::new();
    watch_below(root.pid, &watch, &mut watched);
    kill(root)
}

/// Has everything below a process watched, as far as there is room.
#[cfg(target_os = "linux")]
fn watch_below<W>(parent: Pid, watch: &impl Fn(&ProcessHandle) -> Option<W>, watched: &mut Vec<W>) {
    for (pid, start) in proc_fs::children(parent) {
        if watched.len() == MAX_WATCHED {
            return;
        }
        if let Some(child) = ProcessHandle::open(pid, start)
            && let Some(guard) = watch(&child)
        {
            watched.push(guard);
            watch_below(pid, watch, watched);
        }
    }
}

/// As [`kill`]: only Linux lists the children of a process.
#[cfg(not(target_os = "linux"))]
pub(super) fn kill_watched<W>(
    root: &ProcessHandle,
    _: impl Fn(&ProcessHandle) -> Option<W>,
) -> Vec<Killed> {
    kill(root)
}

/// Kills a process and everything below it. Returns what was killed below it.
#[cfg(target_os = "linux")]
pub(super) fn kill(root: &ProcessHandle) -> Vec<Killed> {
    let mut walk = Walk {
        deadline: Instant::now() + TREE_STOP_TIMEOUT,
        killed: Vec::new(),
    };
    walk.kill(root);
    walk.killed
}

/// Kills a process alone: only Linux lists the children of a process.
#[cfg(not(target_os = "linux"))]
pub(super) fn kill(root: &ProcessHandle) -> Vec<Killed> {
    root.signal(Signal::KILL);
    Vec::new()
}

#[cfg(target_os = "linux")]
struct Walk {
    deadline: Instant,
    killed: Vec<Killed>,
}

#[cfg(target_os = "linux")]
impl Walk {
    /// Kills `process`, after everything below it.
    ///
    /// The process is stopped meanwhile. So it starts no child that the list would miss, and reaps none: the
    /// id of a child that exits is not reused before its handle is open. It dies last, because the kernel may
    /// continue a stopped process whose parent dies.
    fn kill(&mut self, process: &ProcessHandle) {
        process.signal(Signal::STOP);
        self.wait_until_stopped(process.pid);
        for (pid, start) in proc_fs::children(process.pid) {
            if self.killed.len() == MAX_PROCESSES {
                break;
            }
            if let Some(child) = ProcessHandle::open(pid, start) {
                self.killed.push((pid, start));
                self.kill(&child);
            }
        }
        process.signal(Signal::KILL);
    }

    fn wait_until_stopped(&self, pid: Pid) {
        let deadline = self.deadline.min(Instant::now() + STOP_TIMEOUT);
        while !proc_fs::has_stopped(pid) && Instant::now() < deadline {
            thread::sleep(STOP_POLL_INTERVAL);
        }
    }
}
