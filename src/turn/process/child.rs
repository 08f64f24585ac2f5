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
    watchdog::{WatchGuard, WatchdogProcess},
};

/// A child process that leads its own process group.
///
/// Dropping it before the process has exited kills the process with everything that it has started, and
/// reaps it.
pub(in crate::turn) struct ChildProcess {
    /// `None` once the process has exited.
    child: Option<Child>,
    pid: Option<Pid>,
    /// `None` once the search for orphaned processes has started.
    tag: Option<Tag>,
    /// Closed when the search has ended.
    searched: Option<oneshot::Receiver<()>>,
    /// `None` without a watchdog, and once the process has exited.
    watch: Option<WatchGuard>,
}

/// This program's ends of a child's pipes.
pub(in crate::turn) struct Pipes {
    pub(in crate::turn) stdin: ChildStdin,
    pub(in crate::turn) stdout: ChildStdout,
    pub(in crate::turn) stderr: ChildStderr,
}

impl ChildProcess {
    /// Starts a process, and has the watchdog watch it.
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
        let watch = watchdog
            .zip(pid)
            .and_then(|(watchdog, pid)| watchdog.watch(pid));
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
            watch,
        };
        Ok((process, pipes))
    }

    /// Waits for the process to exit. Then it kills the rest of the process group, and starts to search for
    /// orphaned processes on another thread.
    ///
    /// It must not be called again after it has returned.
    ///
    /// # Cancel safety
    ///
    /// It can be called again after its future was dropped.
    pub(in crate::turn) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let Some(child) = &mut self.child else {
            return Err(io::Error::other("the process has exited before"));
        };
        let status = child.wait().await;
        if status.is_ok()
            && let Some(group) = self.pid
        {
            // An error means that the group is empty, which is the usual case.
            let _ = kill_process_group(group, Signal::KILL);
        }
        // Also after an error, which `wait` returns in a program that ignores SIGCHLD: the kernel has reaped
        // the process, and another process may have its id by now. It must not get a signal.
        self.child = None;
        self.watch = None;
        if let Some(tag) = self.tag.take() {
            let (searching, searched) = oneshot::channel();
            reaper::start(move || tag.kill_orphans(searching));
            self.searched = Some(searched);
        }
        status
    }

    /// Waits until the orphaned processes of a process that has exited are killed.
    pub(in crate::turn) async fn orphans_killed(&mut self) {
        if let Some(searched) = self.searched.take() {
            // The search drops the sender, which is an error here.
            let _ = searched.await;
        }
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        match self.pid {
            Some(pid) => tree::kill(pid),
            None => drop(child.start_kill()),
        }
        // Before the process is reaped and its id is free.
        self.watch = None;
        let tag = self.tag.take();
        reaper::start(move || {
            reaper::reap(|| child.try_wait());
            if let Some(tag) = tag {
                tag.kill_orphans(());
            }
        });
    }
}
