//! The tasks of a connection: one reads what the server writes and decides about its end, one writes.

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Take},
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::router::{Check, OutgoingLine, Reason, Router};
use crate::turn::{
    process::{Exit, Waiting, limit_to_waiting},
    wire::{LineError, Lines, Tail},
};

/// How much of standard error is kept, in bytes.
const STDERR_LIMIT: usize = 4 * 1024;

/// How long a killed process is waited for: another server cannot load its threads before it has exited.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection reads, and how it ends.
pub(super) struct Connection<O, E, X> {
    pub(super) router: Arc<Router>,
    pub(super) stdout: O,
    pub(super) stderr: E,
    /// The exit of the process. Dropping the future kills the process.
    pub(super) exited: X,
    /// Kills the process when it is dropped. The exit follows.
    pub(super) alive: oneshot::Sender<()>,
    /// Closes standard input when it is dropped.
    pub(super) stdin: oneshot::Sender<()>,
    pub(super) line_limit: usize,
    pub(super) exit_grace: Duration,
}

/// The phases of a connection, in their order.
enum Phase {
    Running,
    /// The process has to exit by the deadline. One that is too far away for the clock is `None`.
    Closing {
        deadline: Option<Instant>,
    },
    /// The process is killed. It exits as soon as the kernel lets it.
    Killed {
        deadline: Instant,
    },
    /// The process has exited. What it has written is read to its end.
    Exited,
}

impl<O, E, X> Connection<O, E, X>
where
    O: AsyncRead + Waiting + Unpin,
    E: AsyncRead + Waiting + Unpin,
    X: Future<Output = Exit>,
{
    /// Serves the connection until the process has exited, or is killed.
    pub(super) async fn serve(self, stopping: impl Future<Output = ()>) {
        let Self {
            router,
            stdout,
            stderr,
            exited,
            alive,
            stdin,
            line_limit,
            exit_grace,
        } = self;
        // However the task ends, also with its runtime, nobody waits for the server for ever.
        let mut end = EndOnDrop {
            router: &router,
            reason: Reason::Exited,
            status: None,
            stderr: Tail::new(STDERR_LIMIT),
        };
        // Dropped, and the process killed, before what waits for it fails.
        let mut exited = Box::pin(exited);
        let mut stopping = pin!(stopping);
        let (mut alive, mut stdin) = (Some(alive), Some(stdin));
        let mut lines = Some(Lines::new(stdout.take(u64::MAX), line_limit));
        let mut stderr = Some(stderr.take(u64::MAX));
        let mut chunk = [0; 4096];
        let mut count = 0;
        let mut is_stopping = false;
        let mut phase = Phase::Running;

        loop {
            if let Phase::Running = phase {
                match router.check(Instant::now(), is_stopping) {
                    Check::GoOn => {}
                    Check::Close => {
                        end.reason = Reason::Closed;
                        stdin = None;
                        phase = Phase::closing(exit_grace);
                    }
                    Check::Kill => {
                        end.reason = Reason::Closed;
                        phase = Phase::kill(&mut alive);
                    }
                }
            }
            let due = match &phase {
                Phase::Running => router.next_deadline(),
                Phase::Closing { deadline } => *deadline,
                Phase::Killed { deadline } => Some(*deadline),
                Phase::Exited if lines.is_none() && stderr.is_none() => break,
                Phase::Exited => None,
            };
            tokio::select! {
                // A stop counts although it is seen with the exit, and an exit although it is seen after a deadline.
                biased;
                () = &mut stopping, if !is_stopping => {
                    is_stopping = true;
                    end.reason = Reason::Stopped;
                    router.stop();
                }
                exit = &mut exited, if !matches!(phase, Phase::Exited) => {
                    router.close();
                    end.status = exit.status.ok();
                    is_stopping |= exit.was_stopped;
                    if let Some(lines) = &mut lines {
                        limit_to_waiting(&mut lines.reader);
                    }
                    if let Some(stderr) = &mut stderr {
                        limit_to_waiting(stderr);
                    }
                    phase = Phase::Exited;
                }
                () = router.changed(), if matches!(phase, Phase::Running) => {}
                () = wait_until(due) => match phase {
                    // What is due is done above.
                    Phase::Running => {}
                    Phase::Closing { .. } => {
                        if end.reason == Reason::Exited {
                            end.reason = Reason::Hung { after: exit_grace };
                        }
                        phase = Phase::kill(&mut alive);
                    }
                    Phase::Killed { .. } | Phase::Exited => break,
                },
                line = next_line(&mut lines) => match line {
                    Ok(Some(line)) => {
                        count += 1;
                        router.route(line);
                    }
                    Err(LineError::TooLong) => {
                        end.reason = Reason::TooLong { line: count + 1, limit: line_limit };
                        lines = None;
                        router.close();
                        phase.kill_unless_exited(&mut alive);
                    }
                    Ok(None) | Err(LineError::Io(_)) => {
                        lines = None;
                        router.close();
                        stdin = None;
                        phase.expect_exit(exit_grace);
                    }
                },
                read = read(&mut stderr, &mut chunk) => match read {
                    Ok(0) | Err(_) => stderr = None,
                    Ok(length) => end.stderr.push(&chunk[..length]),
                },
            }
        }
        drop(stdin);
        drop(exited);
        if is_stopping {
            end.reason = Reason::Stopped;
        }
    }
}

/// Ends what waits for the server when it is dropped.
struct EndOnDrop<'a> {
    router: &'a Router,
    reason: Reason,
    status: Option<std::process::ExitStatus>,
    stderr: Tail,
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.router
            .end(self.reason, self.status, self.stderr.text());
    }
}

impl Phase {
    fn closing(grace: Duration) -> Self {
        Self::Closing {
            deadline: Instant::now().checked_add(grace),
        }
    }

    /// Kills the process.
    fn kill(alive: &mut Option<oneshot::Sender<()>>) -> Self {
        *alive = None;
        Self::Killed {
            deadline: Instant::now() + EXIT_TIMEOUT,
        }
    }

    fn kill_unless_exited(&mut self, alive: &mut Option<oneshot::Sender<()>>) {
        if !matches!(self, Self::Exited) {
            *self = Self::kill(alive);
        }
    }

    /// Starts the grace period, unless it has started.
    fn expect_exit(&mut self, grace: Duration) {
        if matches!(self, Self::Running) {
            *self = Self::closing(grace);
        }
    }
}

/// Writes lines until the connection closes standard input or has ended.
pub(super) async fn write(
    mut stdin: impl AsyncWrite + Unpin,
    mut lines: mpsc::Receiver<OutgoingLine>,
    closed: oneshot::Receiver<()>,
) {
    let writing = async {
        while let Some(line) = lines.recv().await {
            if stdin.write_all(line.bytes()).await.is_err() || stdin.flush().await.is_err() {
                // The server does not read any more. Its exit explains why.
                return;
            }
        }
    };
    tokio::select! {
        () = writing => {}
        // It is dropped, never sent.
        _ = closed => {}
    }
    // An error means that it is closed.
    let _ = stdin.shutdown().await;
}

async fn next_line<O: AsyncRead + Unpin>(
    lines: &mut Option<Lines<Take<O>>>,
) -> Result<Option<&[u8]>, LineError> {
    match lines {
        Some(lines) => lines.next().await,
        None => std::future::pending().await,
    }
}

async fn read<E: AsyncRead + Unpin>(
    stderr: &mut Option<Take<E>>,
    chunk: &mut [u8],
) -> io::Result<usize> {
    match stderr {
        Some(stderr) => stderr.read(chunk).await,
        None => std::future::pending().await,
    }
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
