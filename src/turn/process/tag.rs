//! What everything of a turn bears in its environment, and how it is found by that.
//!
//! When a process has died, nothing tells any more what it had started: Codex that ends by itself, or is
//! killed by another, leaves commands in sessions of their own that are below nobody. They have inherited
//! the tag.
//!
//! So has a daemon that a command started, such as a build server, which others may use by now. What tells
//! the two apart is where they write to: a daemon has turned away from the pipes and terminals that it was
//! started with, to a file or to nothing.

#[cfg(target_os = "linux")]
use std::{fs, thread, time::Duration};

#[cfg(target_os = "linux")]
use rustix::process::Pid;
use tokio::process::Command;

#[cfg(target_os = "linux")]
use super::{proc_fs, tree};
use crate::event::id;

const VARIABLE: &str = "CODEX_TELEMETRY_TURN";

/// How often orphans are looked for at the most.
#[cfg(target_os = "linux")]
const ROUNDS: usize = 16;

/// When orphans are looked for once more after none were found: a process that is just being made another
/// program has no environment for a moment.
#[cfg(target_os = "linux")]
const AGAIN_AFTER: Duration = Duration::from_millis(10);

/// The tag of one turn.
pub(in crate::turn) struct Tag(String);

impl Tag {
    /// Marks a command, and what it will start.
    pub(in crate::turn) fn set_on(command: &mut Command) -> Self {
        let value = format!("{}-{}", std::process::id(), id::span_id());
        command.env(VARIABLE, &value);
        Self(value)
    }

    /// Kills what bears the tag and is no daemon, with everything below it.
    ///
    /// `waiting` is dropped as soon as a search finds none: nobody is to wait for the one after it.
    #[cfg(target_os = "linux")]
    pub(in crate::turn) fn end_orphans<T>(&self, waiting: T) {
        if !proc_fs::is_ours() {
            return;
        }
        let mut waiting = Some(waiting);
        for _ in 0..ROUNDS {
            let orphans = self.orphans();
            if orphans.is_empty() {
                if waiting.take().is_none() {
                    return;
                }
                thread::sleep(AGAIN_AFTER);
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
            // Those of other users, the kernel's own and zombies cannot be read or are empty.
            let environment = fs::read(entry.path().join("environ")).ok()?;
            memchr::memmem::find(&environment, tag.as_bytes())?;
            is_attached(pid).then_some(pid)
        };
        entries.filter_map(orphan).collect()
    }

    /// Nothing tells it here.
    #[cfg(not(target_os = "linux"))]
    pub(in crate::turn) fn end_orphans<T>(&self, _: T) {}
}

/// Whether a process writes to a pipe, a socket or a terminal.
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
