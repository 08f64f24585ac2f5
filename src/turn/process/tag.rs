//! A tag in the environment, which finds orphaned processes.
//!
//! When a process exits by itself, or another program kills it, the processes that it has started lose their
//! parent. Those in sessions of their own are then not reachable from it, but they have inherited the tag.
//!
//! So has a daemon, such as a build server, which other programs may use by now. It differs from an orphaned
//! process in its output: a daemon has closed the pipes and terminals that it was started with, and writes to
//! a file or to nothing.

#[cfg(target_os = "linux")]
use std::{fs, thread, time::Duration};

#[cfg(target_os = "linux")]
use rustix::process::Pid;
use tokio::process::Command;

#[cfg(target_os = "linux")]
use super::{proc_fs, tree};
use crate::event::id;

const VARIABLE: &str = "CODEX_TELEMETRY_TURN";

/// The maximum number of searches.
#[cfg(target_os = "linux")]
const MAX_SEARCHES: usize = 16;

/// The pause between a search without a result and the last one: a process has no environment for a moment
/// while it executes another program.
#[cfg(target_os = "linux")]
const LAST_SEARCH_AFTER: Duration = Duration::from_millis(10);

/// The tag of one process and of everything that it starts.
pub(in crate::turn) struct Tag(String);

impl Tag {
    /// Tags a command, and what it will start.
    pub(in crate::turn) fn set_on(command: &mut Command) -> Self {
        let value = format!("{}-{}", std::process::id(), id::span_id());
        command.env(VARIABLE, &value);
        Self(value)
    }

    /// Kills the processes that have the tag and are not daemons, with everything below them.
    ///
    /// It drops `waiting` after the first search that finds nothing; nobody waits for the last search.
    #[cfg(target_os = "linux")]
    pub(in crate::turn) fn kill_orphans<T>(&self, waiting: T) {
        if !proc_fs::is_ours() {
            return;
        }
        let mut waiting = Some(waiting);
        for _ in 0..MAX_SEARCHES {
            let orphans = self.orphans();
            if orphans.is_empty() {
                if waiting.take().is_none() {
                    return;
                }
                thread::sleep(LAST_SEARCH_AFTER);
            }
            orphans.into_iter().for_each(tree::kill);
        }
    }

    #[cfg(target_os = "linux")]
    fn orphans(&self) -> Vec<Pid> {
        let tag = format!("{VARIABLE}={}\0", self.0);
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let orphan = |entry: fs::DirEntry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            // It is not readable for processes of other users, and empty for zombies and kernel threads.
            let environment = fs::read(entry.path().join("environ")).ok()?;
            memchr::memmem::find(&environment, tag.as_bytes())?;
            is_attached(pid).then_some(pid)
        };
        entries.filter_map(orphan).collect()
    }

    /// Does nothing: only Linux shows the environment of other processes.
    #[cfg(not(target_os = "linux"))]
    pub(in crate::turn) fn kill_orphans<T>(&self, _: T) {}
}

/// Returns whether a process writes to a pipe, a socket or a terminal.
#[cfg(target_os = "linux")]
fn is_attached(pid: Pid) -> bool {
    let writes_to = |descriptor| {
        let path = format!("/proc/{}/fd/{descriptor}", pid.as_raw_nonzero());
        fs::read_link(path).unwrap_or_default().into_os_string()
    };
    [1, 2].map(writes_to).iter().any(|target| {
        let target = target.as_encoded_bytes();
        [&b"pipe:"[..], b"socket:", b"/dev/pts/"]
            .iter()
            .any(|kind| target.starts_with(kind))
    })
}
