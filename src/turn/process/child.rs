use std::{
    io::{self, PipeWriter, Write},
    process::{self, Child, ExitStatus},
    sync::Arc,
};

use rustix::fd::AsFd;
use tokio::{
    io::{AsyncRead, Take},
    process::{ChildStderr, ChildStdin, ChildStdout},
    sync::oneshot,
};

use super::monitor;

/// A child process that leads its own process group.
///
/// Dropping it before the process has exited has the process killed, with everything that it has started.
/// That happens on a thread of its own: the drop does not wait.
#[derive(Debug)]
pub(in crate::turn) struct ChildProcess {
    state: State,
    requests: Arc<Requests>,
}

#[derive(Debug)]
enum State {
    Running(oneshot::Receiver<Exit>),
    Exited,
}

/// The exit of a process.
#[derive(Debug)]
pub(in crate::turn) struct Exit {
    /// It is unknown in a program that ignores SIGCHLD.
    pub(in crate::turn) status: io::Result<ExitStatus>,
    /// Whether its thread knew by then that the service stops. If there is a stop signal, the process got it.
    pub(in crate::turn) was_stopped: bool,
}

/// Requests to the thread of a child. Dropping them has the child killed if it still runs.
#[derive(Debug)]
pub(super) struct Requests(PipeWriter);

/// This program's ends of a child's pipes.
#[derive(Debug)]
pub(in crate::turn) struct Pipes {
    pub(in crate::turn) stdin: ChildStdin,
    pub(in crate::turn) stdout: ChildStdout,
    pub(in crate::turn) stderr: ChildStderr,
}

/// The same, before a runtime has them.
#[derive(Debug)]
pub(super) struct StdPipes {
    pub(super) stdin: process::ChildStdin,
    pub(super) stdout: process::ChildStdout,
    pub(super) stderr: process::ChildStderr,
}

/// A pipe that knows how much waits in it.
pub(in crate::turn) trait Waiting {
    /// Returns how many bytes a reader gets without a wait.
    fn waiting(&self) -> u64;
}

// === impl ChildProcess ===

impl ChildProcess {
    pub(super) const fn new(exit: oneshot::Receiver<Exit>, requests: Arc<Requests>) -> Self {
        Self {
            state: State::Running(exit),
            requests,
        }
    }

    /// Returns one that exits when the channel says so, without a process.
    #[cfg(test)]
    pub(in crate::turn) fn without_process(exit: oneshot::Receiver<Exit>) -> Self {
        let (_, requests) = io::pipe().expect("a pipe");
        Self::new(exit, Arc::new(Requests::new(requests)))
    }

    /// Has the process killed, with everything that it has started, as a drop does. [`exited`](Self::exited) then
    /// returns its exit, which takes as long as the kernel does.
    pub(in crate::turn) fn kill(&self) {
        self.requests.kill();
    }

    /// Waits for the process to exit. The rest of its process group is killed by then. The search for orphaned
    /// processes goes on, and nobody waits for it.
    ///
    /// It may be called once.
    ///
    /// # Cancel safety
    ///
    /// It can be called again after its future was dropped.
    pub(in crate::turn) async fn exited(&mut self) -> Exit {
        let exit = match &mut self.state {
            State::Running(exit) => exit.await.map_err(|_| "the thread of the process panicked"),
            State::Exited => Err("the process has exited before"),
        };
        self.state = State::Exited;
        exit.unwrap_or_else(|reason| Exit {
            status: Err(io::Error::other(reason)),
            was_stopped: false,
        })
    }
}

// === impl Pipes ===

/// Limits what is read of a pipe to what waits in it now; a read returns its end then.
///
/// After a process has exited, that is all it has written. Another process may hold the pipe open and write to it
/// for ever.
pub(in crate::turn) fn limit_to_waiting(pipe: &mut Take<impl AsyncRead + Waiting>) {
    let waiting = pipe.get_ref().waiting();
    pipe.set_limit(waiting);
}

impl<P: AsFd> Waiting for P {
    fn waiting(&self) -> u64 {
        // There is no error for a pipe.
        rustix::io::ioctl_fionread(self).unwrap_or_default()
    }
}

// === impl Requests ===

impl Requests {
    pub(super) const fn new(pipe: PipeWriter) -> Self {
        Self(pipe)
    }

    /// Tells the thread that the service stops.
    pub(super) fn stop(&self) {
        self.send(monitor::STOP);
    }

    /// Tells the thread to kill the child.
    fn kill(&self) {
        self.send(monitor::KILL);
    }

    fn send(&self, request: u8) {
        // An error means that the process has exited. A pipe has room for a byte.
        let _ = (&self.0).write(&[request]);
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        // Closing the pipe is not enough: a process that is forked at this moment keeps it open.
        self.kill();
    }
}

// === impl StdPipes ===

impl StdPipes {
    pub(super) fn take(child: &mut Child) -> io::Result<Self> {
        let missing = || io::Error::other("a pipe to the process is missing");
        Ok(Self {
            stdin: child.stdin.take().ok_or_else(missing)?,
            stdout: child.stdout.take().ok_or_else(missing)?,
            stderr: child.stderr.take().ok_or_else(missing)?,
        })
    }
}

impl TryFrom<StdPipes> for Pipes {
    type Error = io::Error;

    fn try_from(pipes: StdPipes) -> io::Result<Self> {
        Ok(Self {
            stdin: ChildStdin::from_std(pipes.stdin)?,
            stdout: ChildStdout::from_std(pipes.stdout)?,
            stderr: ChildStderr::from_std(pipes.stderr)?,
        })
    }
}
