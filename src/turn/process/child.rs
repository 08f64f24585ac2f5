use std::{
    io::{self, PipeWriter, Write},
    process::{self, Child, ExitStatus},
};

use tokio::{
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
    /// Closing it asks for the end of the process.
    requests: PipeWriter,
}

#[derive(Debug)]
enum State {
    Running(oneshot::Receiver<io::Result<ExitStatus>>),
    Exited,
}

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

// === impl ChildProcess ===

impl ChildProcess {
    pub(super) const fn new(
        exit: oneshot::Receiver<io::Result<ExitStatus>>,
        requests: PipeWriter,
    ) -> Self {
        Self {
            state: State::Running(exit),
            requests,
        }
    }

    /// Waits for the process to exit. The rest of its process group is killed by then. The search for orphaned
    /// processes goes on, and nobody waits for it.
    ///
    /// # Errors
    ///
    /// The status is unknown in a program that ignores SIGCHLD. After it was returned, it is an error too.
    ///
    /// # Cancel safety
    ///
    /// It can be called again after its future was dropped.
    pub(in crate::turn) async fn exited(&mut self) -> io::Result<ExitStatus> {
        let State::Running(exit) = &mut self.state else {
            return Err(io::Error::other("the process has exited before"));
        };
        let status = exit.await;
        self.state = State::Exited;
        status.unwrap_or_else(|_| Err(io::Error::other("the thread of the process panicked")))
    }

    /// Sends SIGINT to the process group, as Ctrl-C in a terminal does.
    pub(in crate::turn) fn interrupt(&mut self) {
        // An error means that the process has exited. A pipe has room for one byte.
        let _ = self.requests.write(&[monitor::INTERRUPT]);
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
