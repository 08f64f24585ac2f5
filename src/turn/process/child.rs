use std::{
    io,
    process::{ExitStatus, Stdio},
    sync::Arc,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    sync::oneshot,
};

use super::{
    reaper,
    tag::Tag,
    tree,
    watchdog::{WatchdogProcess, Watched},
};

/// A child process that leads a group of its own.
///
/// Dropped before it has ended, it is killed with everything that it started, and reaped.
pub(in crate::turn) struct Process {
    /// `None` once the process has ended.
    child: Option<Child>,
    pid: Option<Pid>,
    /// `None` once orphans are looked for by it.
    tag: Option<Tag>,
    /// Ends when none are left.
    searched: Option<oneshot::Receiver<()>>,
    watched: Option<Watched>,
}

/// The ends of a child's pipes.
pub(in crate::turn) struct Pipes {
    pub(in crate::turn) stdin: ChildStdin,
    pub(in crate::turn) stdout: ChildStdout,
    pub(in crate::turn) stderr: ChildStderr,
}

impl Process {
    /// Starts it, under the eyes of a watchdog if there is one.
    pub(in crate::turn) fn spawn(
        mut command: Command,
        watchdog: Option<Arc<WatchdogProcess>>,
    ) -> io::Result<(Self, Pipes)> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let tag = Tag::set_on(&mut command);
        let mut child = command.spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let watched = watchdog.zip(pid).and_then(|(shell, pid)| shell.watch(pid));
        let pipe = || io::Error::other("a pipe to the process is missing");
        let pipes = Pipes {
            stdin: child.stdin.take().ok_or_else(pipe)?,
            stdout: child.stdout.take().ok_or_else(pipe)?,
            stderr: child.stderr.take().ok_or_else(pipe)?,
        };
        let process = Self {
            child: Some(child),
            pid,
            tag: Some(tag),
            searched: None,
            watched,
        };
        Ok((process, pipes))
    }

    /// Waits for the end of the process, and then ends what is left of its group and begins to look for
    /// orphans.
    ///
    /// Must not be called again after it has answered. Cancel safe.
    pub(in crate::turn) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let Some(child) = &mut self.child else {
            return Err(io::Error::other("the process was waited for before"));
        };
        let status = child.wait().await;
        if status.is_ok()
            && let Some(group) = self.pid
        {
            // An empty group is the usual case, and an error.
            let _ = kill_process_group(group, Signal::KILL);
        }
        // Also after an error, which a program that ignores SIGCHLD gets: the system has reaped the
        // process, and its number may be another's by now. It must not be signalled again.
        self.child = None;
        self.watched = None;
        if let Some(tag) = self.tag.take() {
            let (searching, searched) = oneshot::channel();
            reaper::start(move || tag.end_orphans(searching));
            self.searched = Some(searched);
        }
        status
    }

    /// Waits until the orphans of a process that has ended are ended as well.
    pub(in crate::turn) async fn alone(&mut self) {
        if let Some(searched) = self.searched.take() {
            // The sender is dropped, which is an error here.
            let _ = searched.await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        match self.pid {
            Some(pid) => tree::kill(pid),
            None => drop(child.start_kill()),
        }
        // Before it is reaped, and its number free.
        self.watched = None;
        let tag = self.tag.take();
        reaper::start(move || {
            reaper::reap(|| child.try_wait());
            if let Some(tag) = tag {
                tag.end_orphans(());
            }
        });
    }
}
