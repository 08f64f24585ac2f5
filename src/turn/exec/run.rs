use std::{io, pin::pin, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::ChildStdin,
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use super::{
    invocation::Invocation,
    lines::{LineError, Lines},
    redact::Redactor,
    transcript::Transcript,
};
use crate::{
    call::CallContext,
    turn::{
        Progress, Turn, TurnError,
        process::{Process, WatchdogProcess},
        request::Parameters,
    },
};

/// How long the pipes of a process that has ended are waited for: a stray child may hold them open.
const DRAIN: Duration = Duration::from_millis(500);

/// How much is read at the most after the process has ended, beside what is buffered here already. Linux
/// gives a pipe no more than this by default; more than that comes from a stray.
const PIPE: usize = 1024 * 1024;

pub(super) struct Limits {
    pub(super) line: usize,
    pub(super) output: usize,
    pub(super) exit_grace: Duration,
}

/// Runs one turn to its end. Dropped on the way, it kills the process and what that has started.
///
/// Everything happens in this one future, without a task that could outlive it: feeding the prompt,
/// reading lines, draining standard error, waiting for the exit.
pub(super) async fn run(
    invocation: Invocation,
    context: CallContext,
    parameters: Arc<Parameters>,
    limits: Limits,
    watchdog: Option<Arc<WatchdogProcess>>,
) -> Result<Turn, TurnError> {
    let Invocation {
        program,
        command,
        expected,
        output_schema: _keep_until_the_end,
    } = invocation;
    let redactor = Redactor::new(&parameters);
    // Declared before the process, so that the process is gone when the tools' calls end.
    let mut transcript = Transcript::new(context, expected, redactor);
    let (mut process, pipes) =
        Process::spawn(command, watchdog).map_err(|source| TurnError::Spawn { program, source })?;

    let mut lines = Lines::new(pipes.stdout, limits.line);
    let mut stderr = pipes.stderr;
    let mut stderr_chunk = [0; 4096];
    let mut feeding = pin!(feed(pipes.stdin, parameters.prompt.as_bytes()));
    let (mut fed, mut stdout_open, mut stderr_open) = (false, true, true);
    let mut status = None;
    // When the process has to have ended.
    let mut deadline: Option<Instant> = None;
    let mut may_read = limits.output;

    while status.is_none() || stdout_open || stderr_open {
        tokio::select! {
            line = lines.next(), if stdout_open => match line {
                Ok(Some(line)) => {
                    may_read = may_read.checked_sub(line.len()).ok_or_else(|| too_much(&limits))?;
                    let step = transcript.take(&line)?;
                    tell(parameters.progress.as_ref(), step).await;
                    if transcript.is_over() {
                        sooner(&mut deadline, limits.exit_grace);
                    }
                }
                Ok(None) => {
                    stdout_open = false;
                    sooner(&mut deadline, limits.exit_grace);
                }
                // What comes after the end of the turn does not undo it.
                Err(_) if transcript.is_over() => stdout_open = false,
                Err(error) => return Err(unreadable(error, &transcript, limits.line)),
            },
            read = stderr.read(&mut stderr_chunk), if stderr_open => match read {
                Ok(0) | Err(_) => stderr_open = false,
                Ok(length) => transcript.facts.stderr.push(&stderr_chunk[..length]),
            },
            // A process that does not read its prompt says why by other means.
            _ = &mut feeding, if !fed => fed = true,
            exit = process.wait(), if status.is_none() => {
                transcript.facts.status = exit.as_ref().ok().copied();
                status = Some(exit);
                may_read = may_read.min(limits.line.saturating_add(PIPE));
            },
            () = at(deadline), if status.is_none() => break,
            // Begun anew at each turn of the loop: only time in which nothing comes counts, not what a
            // slow reader of progress takes.
            () = sleep(DRAIN), if status.is_some() => break,
        }
    }
    process.alone().await;
    match status {
        Some(status) => transcript.finish(status),
        None => transcript.give_up(TurnError::Hung {
            after: limits.exit_grace,
        }),
    }
}

/// Writes the prompt, and closes the pipe by dropping it.
async fn feed(mut stdin: ChildStdin, prompt: &[u8]) -> io::Result<()> {
    stdin.write_all(prompt).await?;
    stdin.shutdown().await
}

async fn tell(progress: Option<&mpsc::Sender<Progress>>, step: Option<Progress>) {
    if let (Some(progress), Some(step)) = (progress, step) {
        // A reader that has gone away does not want to know.
        let _ = progress.send(step).await;
    }
}

/// Brings a deadline forward. One that is too far away to be told is none.
fn sooner(deadline: &mut Option<Instant>, within: Duration) {
    let then = Instant::now().checked_add(within);
    *deadline = [*deadline, then].into_iter().flatten().min();
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn too_much(limits: &Limits) -> TurnError {
    TurnError::OutputTooLarge {
        limit: limits.output,
    }
}

fn unreadable(error: LineError, transcript: &Transcript, limit: usize) -> TurnError {
    match error {
        LineError::TooLong => TurnError::Protocol {
            line: transcript.lines() + 1,
            reason: format!("it is longer than the limit of {limit} bytes"),
        },
        LineError::Io(source) => TurnError::Io {
            action: "reading Codex's output",
            source,
        },
    }
}
