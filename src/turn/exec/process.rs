use std::{
    io,
    process::{ExitStatus, Stdio},
    sync::Arc,
};

use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessGroup};
use rustix::process::Pid;
use tokio::{
    process::{ChildStderr, ChildStdin, ChildStdout, Command},
    sync::oneshot,
};

use super::{
    mark::Mark,
    process_tree, reaper,
    watchdog::{Shell, Watched},
};

/// A child process that leads a group of its own.
///
/// Dropped before it has ended, it is killed with everything that it started, and reaped.
pub(super) struct Process {
    /// `None` once the process has ended.
    child: Option<Box<dyn ChildWrapper>>,
    pid: Option<Pid>,
    /// `None` once strays are looked for by it.
    mark: Option<Mark>,
    /// Ends when none are left.
    searched: Option<oneshot::Receiver<()>>,
    watched: Option<Watched>,
}

/// The ends of a child's pipes.
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl Process {
    /// Starts it, under the eyes of a watchdog if there is one.
    pub(super) fn spawn(
        mut command: Command,
        watchdog: Option<Arc<Shell>>,
    ) -> io::Result<(Self, Pipes)> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mark = Mark::put_on(&mut command);
        let mut child = CommandWrap::from(command)
            .wrap(ProcessGroup::leader())
            .spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let watched = watchdog.zip(pid).and_then(|(shell, pid)| shell.watch(pid));
        let pipe = || io::Error::other("a pipe to the process is missing");
        let pipes = Pipes {
            stdin: child.stdin().take().ok_or_else(pipe)?,
            stdout: child.stdout().take().ok_or_else(pipe)?,
            stderr: child.stderr().take().ok_or_else(pipe)?,
        };
        let process = Self {
            child: Some(child),
            pid,
            mark: Some(mark),
            searched: None,
            watched,
        };
        Ok((process, pipes))
    }

    /// Waits for the end of the process, and then ends what is left of its group and begins to look for
    /// strays.
    ///
    /// Must not be called again after it has answered. Cancel safe.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let Some(child) = &mut self.child else {
            return Err(io::Error::other("the process was waited for before"));
        };
        // The leader alone: what it left in its group is no child of ours to wait for.
        let status = child.inner_mut().wait().await;
        if status.is_ok() {
            // A group without members is the usual case, and an error that says so.
            let _ = child.start_kill();
        }
        // Also after an error, which a program that ignores SIGCHLD gets: the system has reaped the
        // process, and its number may be another's by now. It must not be signalled again.
        self.child = None;
        self.watched = None;
        if let Some(mark) = self.mark.take() {
            let (searching, searched) = oneshot::channel();
            reaper::start(move || mark.end_strays(searching));
            self.searched = Some(searched);
        }
        status
    }

    /// Waits until the strays of a process that has ended are ended as well.
    pub(super) async fn alone(&mut self) {
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
            Some(pid) => process_tree::kill(pid),
            None => drop(child.start_kill()),
        }
        // Before it is reaped, and its number free.
        self.watched = None;
        let mark = self.mark.take();
        reaper::start(move || {
            reaper::reap(|| child.inner_mut().try_wait());
            if let Some(mark) = mark {
                mark.end_strays(());
            }
        });
    }
}
