use std::{convert::Infallible, future::pending, io, pin::pin, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Take},
    process::{ChildStderr, ChildStdin, ChildStdout},
    time::{Instant, sleep_until},
};

use super::{builder::Config, invocation::Invocation, turn_state::TurnState};
use crate::{
    call::CodexRequest,
    event::PhaseClock,
    turn::{
        Turn, TurnError, TurnRequest,
        process::{Active, ChildProcess, Exit, Supervisor, limit_to_waiting},
        progress_queue::{MAX_DELIVERY_TIMEOUT, ProgressQueue},
        prompt,
        served_calls::ServedCalls,
        tool_server::{self, ToolAccess},
        wire::{LineError, Lines, Pauses},
    },
};

/// The states of a run, in their order.
enum RunState {
    /// Codex runs the turn. It may take any time.
    Running,
    /// Codex has ended the turn or closed its output. It has to exit by the deadline. A deadline that is too
    /// far away for the clock is `None`.
    Exiting { deadline: Option<Instant> },
    /// The process has exited. What it has left in the pipes is read, however long that takes.
    Exited { exit: Exit, at: Instant },
}

/// Runs a turn to its end. Dropping the future has the process killed, and everything that it has started.
///
/// One future feeds the prompt, reads standard output and standard error, delivers progress, and waits for the
/// exit. None of these holds up another, nor a timer around them: see [`Pauses`].
pub(super) async fn run(
    invocation: Invocation,
    request: &TurnRequest,
    tools: Option<&dyn ToolAccess>,
    config: &Config,
    supervisor: &Supervisor,
    active: Arc<Active>,
    phases: &Arc<PhaseClock>,
) -> Result<Turn, TurnError> {
    let Invocation {
        program,
        command,
        resumed,
        output_schema: _keep_until_the_end,
    } = invocation;
    // Declared before the process, whose end begins before the tools' calls end.
    let calls = ServedCalls::default();
    let hosted = tools.map(|tools| (tools.server().to_owned(), calls.clone()));
    let mut turn = TurnState::new(request, resumed, hosted, phases);
    // Before Codex starts, which may call at once. Dropped before the state of the turn: its calls end before the turn's.
    let mut serving = tools.map(|tools| tools.serve(request.context().clone(), calls));
    let (mut process, pipes) = supervisor
        .spawn(command, Arc::clone(&active))
        .await
        .map_err(|source| TurnError::Spawn { program, source })?
        .ok_or(TurnError::Stopped)?;

    let mut stdout = Some(Lines::new(pipes.stdout.take(u64::MAX), config.line_limit));
    let mut stderr = Some(pipes.stderr.take(u64::MAX));
    let mut stderr_chunk = [0; 4096];
    let prompt = prompt::with_files(request);
    let mut feeding = pin!(feed(pipes.stdin, prompt.as_bytes()));
    let mut progress = ProgressQueue::new(request.progress().cloned());
    let mut output_left = config.output_limit;
    let mut state = RunState::Running;
    let mut pauses = Pauses::default();
    // Dropped first: what is dropped after it does not change what a failed turn waited for.
    let _freeze = FreezeWhenDropped(phases);

    // Nothing is read for a completed turn whose process has exited: nothing would change it.
    while !(state.has_exited() && (turn.has_completed() || stdout.is_none() && stderr.is_none())) {
        tokio::select! {
            line = next_line(&mut stdout, turn.has_ended()) => match line {
                Ok(Some(line)) => {
                    output_left = output_left
                        .checked_sub(line.len() + 1)
                        .ok_or(TurnError::OutputTooLarge { limit: config.output_limit })?;
                    if let Some(item) = turn.apply(line)? {
                        progress.push(item);
                    }
                    if turn.has_ended() {
                        // The events of the tools are those of the turn's end: no call begins after it.
                        serving = None;
                        state.expect_exit(config.exit_grace);
                    }
                }
                Ok(None) => {
                    stdout = None;
                    state.expect_exit(config.exit_grace);
                }
                Err(error) => return Err(read_error(error, turn.lines() + 1, config.line_limit)),
            },
            read = read(&mut stderr, &mut stderr_chunk) => match read {
                Ok(0) | Err(_) => stderr = None,
                Ok(length) => turn.stats.stderr.push(&stderr_chunk[..length]),
            },
            () = progress.deliver(), if !progress.is_empty() => {}
            never = &mut feeding => match never {},
            never = tool_server::serve(&mut serving) => match never {},
            exit = state.exit(&mut process), if !state.has_exited() => {
                let Some(exit) = exit else { break };
                turn.stats.status = exit.status.as_ref().ok().copied();
                if let Some(lines) = &mut stdout {
                    limit_to_waiting(&mut lines.reader);
                }
                if let Some(stderr) = &mut stderr {
                    limit_to_waiting(stderr);
                }
                state = RunState::Exited { exit, at: Instant::now() };
            }
        }
        pauses.pause_sometimes().await;
    }
    // Before the calls of the tools end, for one of which the turn may have waited.
    phases.freeze();
    drop(serving);
    // The result waits for a slow reader of progress as long as it would for Codex, but not twice.
    let deadline = match &state {
        RunState::Exited { at, .. } => *at + config.exit_grace.min(MAX_DELIVERY_TIMEOUT),
        RunState::Running | RunState::Exiting { .. } => Instant::now(),
    };
    turn.stats.dropped_progress = progress.deliver_all(deadline).await;
    let was_stopped = match &state {
        RunState::Exited { exit, .. } => exit.was_stopped,
        RunState::Running | RunState::Exiting { .. } => supervisor.is_stopping(),
    };
    if was_stopped && !turn.has_ended() {
        return Err(TurnError::Stopped);
    }
    match state {
        RunState::Exited { exit, .. } => turn.finish(exit.status),
        RunState::Running | RunState::Exiting { .. } => turn.finish_hung(TurnError::Hung {
            after: config.exit_grace,
        }),
    }
}

/// Keeps the phase of a turn that this is dropped with.
pub(super) struct FreezeWhenDropped<'a>(pub(super) &'a PhaseClock);

impl Drop for FreezeWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.freeze();
    }
}

// === impl RunState ===

impl RunState {
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

    /// Waits until the process has exited; `None` when it takes too long.
    async fn exit(&self, process: &mut ChildProcess) -> Option<Exit> {
        let timeout = async {
            match self {
                Self::Exiting {
                    deadline: Some(deadline),
                } => sleep_until(*deadline).await,
                _ => pending().await,
            }
        };
        tokio::select! {
            // An exit counts, although it is seen late on a busy machine.
            biased;
            exit = process.exited() => Some(exit),
            () = timeout => None,
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
    stdout: &mut Option<Lines<Take<ChildStdout>>>,
    has_ended: bool,
) -> Result<Option<&[u8]>, LineError> {
    match stdout {
        Some(lines) if has_ended => {
            lines.discard().await;
            Ok(None)
        }
        Some(lines) => lines.next().await,
        None => pending().await,
    }
}

async fn read(stderr: &mut Option<Take<ChildStderr>>, chunk: &mut [u8]) -> io::Result<usize> {
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

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_exit_within_the_grace_period_counts_although_it_is_seen_later() {
        // Each round, a timeout that is looked at first would win with a probability of a half.
        for _ in 0..16 {
            let (exit, exited) = oneshot::channel();
            let mut process = ChildProcess::without_process(exited);
            let mut state = RunState::Running;
            state.expect_exit(Duration::from_secs(1));
            let status = Ok(ExitStatus::default());
            let was_stopped = false;
            exit.send(Exit {
                status,
                was_stopped,
            })
            .unwrap();
            tokio::time::advance(Duration::from_secs(2)).await;
            assert!(state.exit(&mut process).await.is_some());
        }
    }
}
