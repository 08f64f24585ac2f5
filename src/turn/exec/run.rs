use std::{
    convert::Infallible, future::pending, io, pin::pin, process::ExitStatus, sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{ChildStderr, ChildStdin, ChildStdout},
    time::{Instant, sleep, sleep_until},
};

use super::{
    builder::Config,
    invocation::Invocation,
    lines::{LineError, Lines},
    turn_state::TurnState,
};
use crate::turn::{
    Turn, TurnError, TurnRequest,
    process::{ChildProcess, WatchdogProcess},
};

/// How long a pipe may stay silent after the process has exited: an orphaned process may hold it open.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// The maximum to read after the process has exited, beside what is already buffered, in bytes. It is the
/// capacity of a pipe on Linux; more than that comes from an orphaned process.
const PIPE_CAPACITY: usize = 1024 * 1024;

/// The phases of a run, in their order.
enum Phase {
    /// Codex runs the turn. It may take any time.
    Running,
    /// Codex has ended the turn or closed its output, and has to exit by the deadline. A deadline that is
    /// too far away for the clock is `None`.
    Exiting { deadline: Option<Instant> },
    /// The process has exited. Its pipes are read until they end or stay silent.
    Draining { status: io::Result<ExitStatus> },
}

/// Runs a turn to its end. Dropping the future kills the process and everything that it has started.
///
/// One future feeds the prompt, reads standard output and standard error, and waits for the exit. No task
/// can outlive it.
pub(super) async fn run(
    invocation: Invocation,
    request: &TurnRequest,
    config: &Config,
    watchdog: Option<Arc<WatchdogProcess>>,
) -> Result<Turn, TurnError> {
    let Invocation {
        program,
        command,
        resumed,
        output_schema: _keep_until_the_end,
    } = invocation;
    // Declared before the process, so that the process is gone when the tools' calls end.
    let mut turn = TurnState::new(request, resumed);
    let (mut process, pipes) = ChildProcess::spawn(command, watchdog)
        .map_err(|source| TurnError::Spawn { program, source })?;

    let mut stdout = Some(Lines::new(pipes.stdout, config.line_limit));
    let mut stderr = Some(pipes.stderr);
    let mut stderr_chunk = [0; 4096];
    let mut feeding = pin!(feed(pipes.stdin, request.prompt().as_bytes()));
    let mut output_left = config.output_limit;
    let mut phase = Phase::Running;

    while !phase.has_exited() || stdout.is_some() || stderr.is_some() {
        tokio::select! {
            line = next_line(&mut stdout) => match line {
                Ok(Some(line)) => {
                    output_left = output_left
                        .checked_sub(line.len())
                        .ok_or(TurnError::OutputTooLarge { limit: config.output_limit })?;
                    let progress = turn.apply(&line)?;
                    if let (Some(channel), Some(progress)) = (request.progress(), progress) {
                        // An error means that the receiver was dropped, which does not end the turn.
                        let _ = channel.send(progress).await;
                    }
                    if turn.has_ended() {
                        phase.expect_exit(config.exit_grace);
                    }
                }
                Ok(None) => {
                    stdout = None;
                    phase.expect_exit(config.exit_grace);
                }
                // An error after the end of the turn does not change its result.
                Err(_) if turn.has_ended() => stdout = None,
                Err(error) => return Err(read_error(error, turn.lines() + 1, config.line_limit)),
            },
            read = read(&mut stderr, &mut stderr_chunk) => match read {
                Ok(0) | Err(_) => stderr = None,
                Ok(length) => turn.stats.stderr.push(&stderr_chunk[..length]),
            },
            never = &mut feeding => match never {},
            status = process.wait(), if !phase.has_exited() => {
                turn.stats.status = status.as_ref().ok().copied();
                phase = Phase::Draining { status };
                output_left = output_left.min(config.line_limit.saturating_add(PIPE_CAPACITY));
            }
            () = phase.timeout() => break,
        }
    }
    process.orphans_killed().await;
    match phase {
        Phase::Draining { status } => turn.finish(status),
        Phase::Running | Phase::Exiting { .. } => turn.finish_hung(TurnError::Hung {
            after: config.exit_grace,
        }),
    }
}

// === impl Phase ===

impl Phase {
    const fn has_exited(&self) -> bool {
        matches!(self, Self::Draining { .. })
    }

    /// Starts the grace period, unless it has started.
    fn expect_exit(&mut self, grace: Duration) {
        if matches!(self, Self::Running) {
            let deadline = Instant::now().checked_add(grace);
            *self = Self::Exiting { deadline };
        }
    }

    /// Waits until the phase has taken too long.
    async fn timeout(&self) {
        match self {
            Self::Running | Self::Exiting { deadline: None } => pending().await,
            Self::Exiting {
                deadline: Some(deadline),
            } => sleep_until(*deadline).await,
            // From now on, not from the exit: the time that a slow reader of progress takes does not count.
            Self::Draining { .. } => sleep(DRAIN_TIMEOUT).await,
        }
    }
}

/// Writes the prompt, closes the pipe, and never returns.
///
/// An error means that the process does not read its prompt. Its output and its exit explain why.
async fn feed(mut stdin: ChildStdin, prompt: &[u8]) -> Infallible {
    if stdin.write_all(prompt).await.is_ok() {
        let _ = stdin.shutdown().await;
    }
    drop(stdin);
    pending().await
}

async fn next_line(stdout: &mut Option<Lines<ChildStdout>>) -> Result<Option<BytesMut>, LineError> {
    match stdout {
        Some(lines) => lines.next().await,
        None => pending().await,
    }
}

async fn read(stderr: &mut Option<ChildStderr>, chunk: &mut [u8]) -> io::Result<usize> {
    match stderr {
        Some(stderr) => stderr.read(chunk).await,
        None => pending().await,
    }
}

fn read_error(error: LineError, line: u64, limit: usize) -> TurnError {
    match error {
        LineError::TooLong => TurnError::Protocol {
            line,
            reason: format!("it is longer than the limit of {limit} bytes"),
        },
        LineError::Io(source) => TurnError::Io {
            action: "reading Codex's output",
            source,
        },
    }
}
