use std::{
    io,
    process::{ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessGroup};
use rustix::process::Pid;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

use super::process_tree;

/// How long a killed process is waited for: it is gone in milliseconds, unless the kernel itself is
/// stuck on its behalf.
const REAP_WITHIN: Duration = Duration::from_secs(10);

/// A child process that leads a group of its own.
///
/// Dropped before it has ended, it is killed with everything that it started, and reaped.
pub(super) struct Process {
    /// `None` once the process has ended.
    child: Option<Box<dyn ChildWrapper>>,
    pid: Option<Pid>,
}

/// The ends of a child's pipes.
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl Process {
    pub(super) fn spawn(mut command: Command) -> io::Result<(Self, Pipes)> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = CommandWrap::from(command)
            .wrap(ProcessGroup::leader())
            .spawn()?;
        let pipe = || io::Error::other("a pipe to the process is missing");
        let pipes = Pipes {
            stdin: child.stdin().take().ok_or_else(pipe)?,
            stdout: child.stdout().take().ok_or_else(pipe)?,
            stderr: child.stderr().take().ok_or_else(pipe)?,
        };
        let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let child = Some(child);
        Ok((Self { child, pid }, pipes))
    }

    /// Waits for the end of the process, and then ends what is left of its group.
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
        status
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
        // Not a task: the runtime may be shutting down. Not here: the kernel may take its time. When no
        // thread can be had, tokio reaps the process as long as the runtime lives.
        let reaper = thread::Builder::new().name("codex-reaper".to_owned());
        let _ = reaper.spawn(move || reap(&mut *child));
    }
}

fn reap(child: &mut dyn ChildWrapper) {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    while let Ok(None) = child.inner_mut().try_wait() {
        if started.elapsed() > REAP_WITHIN {
            return;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
