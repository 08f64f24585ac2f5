use std::{convert::Infallible, future::pending, io, pin::pin, sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{ChildStderr, ChildStdin, ChildStdout},
    time::{Instant, sleep_until},
};

use super::{builder::Config, invocation::Invocation, turn_state::TurnState};
use crate::turn::{
    Turn, TurnError, TurnRequest,
    process::{Active, Exit, Supervisor},
    progress_queue::ProgressQueue,
    wire::{LineError, Lines},
};

/// How long the pipes are read after the process has exited: another process may hold them open and write to
/// them for ever.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// The maximum that a turn waits for a slow reader of its progress after the process has exited.
const MAX_DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// The maximum to read after the process has exited, beside what is already buffered, in bytes. It is the
/// capacity of a pipe on Linux; more than that comes from another process, and is not read.
const PIPE_CAPACITY: usize = 1024 * 1024;

/// The phases of a run, in their order.
enum Phase {
    /// Codex runs the turn. It may take any time.
    Running,
    /// Codex has ended the turn or closed its output. It has to exit by the deadline. A deadline that is too
    /// far away for the clock is `None`.
    Exiting { deadline: Option<Instant> },
    /// The process has exited. What it has written is read until the deadline.
    Exited { exit: Exit, at: Instant },
}

/// Runs a turn to its end. Dropping the future has the process killed, and everything that it has started.
///
/// One future feeds the prompt, reads standard output and standard error, delivers progress, and waits for the
/// exit. None of these holds up another.
pub(super) async fn run(
    invocation: Invocation,
    request: &TurnRequest,
    config: &Config,
    supervisor: &Supervisor,
    active: Arc<Active>,
) -> Result<Turn, TurnError> {
    let Invocation {
        program,
        command,
        resumed,
        output_schema: _keep_until_the_end,
    } = invocation;
    // Declared before the process, whose end begins before the tools' calls end.
    let mut turn = TurnState::new(request, resumed);
    let (mut process, pipes) = supervisor
        .spawn(command, Arc::clone(&active))
        .await
        .map_err(|source| TurnError::Spawn { program, source })?
        .ok_or(TurnError::Stopped)?;

    let mut stdout = Some(Lines::new(pipes.stdout, config.line_limit));
    let mut stderr = Some(pipes.stderr);
    let mut stderr_chunk = [0; 4096];
    let mut feeding = pin!(feed(pipes.stdin, request.prompt().as_bytes()));
    let mut progress = ProgressQueue::new(request.progress().cloned());
    let mut output_left = config.output_limit;
    let mut late_output_left = config.line_limit.saturating_add(PIPE_CAPACITY);
    let mut phase = Phase::Running;

    // Nothing is read for a completed turn whose process has exited: nothing would change it.
    while !(phase.has_exited() && (turn.has_completed() || stdout.is_none() && stderr.is_none())) {
        tokio::select! {
            line = next_line(&mut stdout, turn.has_ended()) => match line {
                Ok(Some(line)) => {
                    let length = line.len() + 1;
                    output_left = output_left
                        .checked_sub(length)
                        .ok_or(TurnError::OutputTooLarge { limit: config.output_limit })?;
                    if phase.has_exited() {
                        let Some(left) = late_output_left.checked_sub(length) else {
                            stdout = None;
                            continue;
                        };
                        late_output_left = left;
                    }
                    if let Some(item) = turn.apply(&line)? {
                        progress.push(item);
                    }
                    if turn.has_ended() {
                        phase.expect_exit(config.exit_grace);
                    }
                }
                Ok(None) => {
                    stdout = None;
                    phase.expect_exit(config.exit_grace);
                }
                Err(error) => return Err(read_error(error, turn.lines() + 1, config.line_limit)),
            },
            read = read(&mut stderr, &mut stderr_chunk) => match read {
                Ok(0) | Err(_) => stderr = None,
                Ok(length) => turn.stats.stderr.push(&stderr_chunk[..length]),
            },
            () = progress.deliver(), if !progress.is_empty() => {}
            never = &mut feeding => match never {},
            exit = process.exited(), if !phase.has_exited() => {
                turn.stats.status = exit.status.as_ref().ok().copied();
                phase = Phase::Exited { exit, at: Instant::now() };
            }
            () = phase.timeout() => break,
        }
    }
    // The result waits for a slow reader of progress as long as it would for Codex, but not twice.
    let deadline = match &phase {
        Phase::Exited { at, .. } => *at + config.exit_grace.min(MAX_DELIVERY_TIMEOUT),
        Phase::Running | Phase::Exiting { .. } => Instant::now(),
    };
    turn.stats.dropped_progress = progress.deliver_all(deadline).await;
    let was_stopped = match &phase {
        Phase::Exited { exit, .. } => exit.was_stopped,
        Phase::Running | Phase::Exiting { .. } => supervisor.is_stopping(),
    };
    if was_stopped && !turn.has_ended() {
        return Err(TurnError::Stopped);
    }
    match phase {
        Phase::Exited { exit, .. } => turn.finish(exit.status),
        Phase::Running | Phase::Exiting { .. } => turn.finish_hung(TurnError::Hung {
            after: config.exit_grace,
        }),
    }
}

// === impl Phase ===

impl Phase {
    const fn has_exited(&self) -> bool {
        matches!(self, Self::Exited { .. })
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
            Self::Exited { at, .. } => sleep_until(*at + DRAIN_TIMEOUT).await,
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

/// Returns the next line. What comes after the end of the turn is read and changes nothing.
async fn next_line(
    stdout: &mut Option<Lines<ChildStdout>>,
    has_ended: bool,
) -> Result<Option<BytesMut>, LineError> {
    match stdout {
        Some(lines) if has_ended => {
            lines.discard().await;
            Ok(None)
        }
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
