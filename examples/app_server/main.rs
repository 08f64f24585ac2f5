//! A conversation with the real Codex CLI in the terminal: one `codex app-server`, a turn for each line that is
//! typed. Codex's messages go to standard output, everything else to standard error.
//!
//! ```text
//! cargo run --example app_server -- [OPTION]…
//! ```
//!
//! What Codex asks, such as whether a command may run, is a question on the terminal. Ctrl-C cancels the turn; a
//! second one before the next line, or Ctrl-D, ends the program.
//!
//! With `CODEX_OTLP_ENDPOINT` set, the calls are also exported over OTLP. `--events` writes them as JSON lines,
//! `--log` as log lines, and `--timeline` draws them after each turn.
//!
//! Exit code, if the input ends: that of the last turn, which is 0 when it completed, 1 when it failed, 124 on
//! timeout. Otherwise 2 on invalid usage, 130 and 143 when a Ctrl-C or a SIGTERM ended the program.

mod input;
mod options;
mod question;
mod screen;
mod shown;

use std::{convert::Infallible, io, process::ExitCode, sync::Arc, time::Duration};

use codex_telemetry::{
    ApprovalRequest, BoxError, Classification, CodexClassifier, FanOut, MemorySink, OtlpSink,
    ServiceBuilderExt, Timeline, TracingSink, otlp,
    turn::{Progress, TurnRequest, TurnUpdate, turn_stream},
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_stream::{Stream, StreamExt};
use tower::{ServiceBuilder, service_fn, timeout::error::Elapsed};
use tracing_subscriber::{fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    input::{Input, Questions},
    options::{Options, USAGE},
    screen::{Screen, printable},
    shown::Shown,
};

/// How long Codex may take to end its turns and to exit, before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How long the program waits for the export before it exits.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

const INTERRUPTED: u8 = 128 + 2;
const TERMINATED: u8 = 128 + 15;

#[tokio::main]
async fn main() -> ExitCode {
    let screen = Screen::new();
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            screen.line(&format!("{error}\n\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::registry()
        .with(fmt::layer().with_writer(io::stderr))
        .with(options.log.clone())
        .init();
    // Disabled, unless the environment has a receiver. An error there does not affect the turns.
    let export = otlp::from_env();
    let code = match converse(options, &screen, export.clone()).await {
        Ok(code) => code,
        Err(error) => {
            screen.line(&format!("cannot begin: {error}"));
            1
        }
    };
    if let Some(export) = export
        && let Err(undelivered) = export.shutdown(EXPORT_TIMEOUT).await
    {
        screen.line(&undelivered.to_string());
    }
    ExitCode::from(code)
}

/// Runs a turn for each line of the input, and returns the exit code.
async fn converse(options: Options, screen: &Screen, export: Option<OtlpSink>) -> io::Result<u8> {
    let mut signals = Signals {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
    };
    let (input, mut questions) = Input::start(screen.clone())?;
    let memory = options.timeline.then(MemorySink::new);
    let sink = Arc::new(
        FanOut::new()
            .with(TracingSink::new())
            .with(options.events)
            .with(memory.clone())
            .with(export),
    );

    // An approver is layered like any service: each question is a call, a child of the tool's.
    let approver = {
        let input = input.clone();
        ServiceBuilder::new()
            .timing(Arc::clone(&sink))
            .service(service_fn(move |request: ApprovalRequest| {
                let input = input.clone();
                async move { Ok::<_, Infallible>(question::ask(&input, &request).await) }
            }))
    };
    let codex = options
        .codex
        .approver(approver, options.approval_timeout)
        .build();
    // The timeout is inside of the error class layer, which classifies its error.
    let turns = ServiceBuilder::new()
        .originator(options.originator)
        .timing(sink)
        .error_class(CodexClassifier)
        .timeout(options.timeout)
        .service(codex.clone());

    let mut thread = options.resume;
    let mut code = 0;
    // How often Ctrl-C was pressed since the last line.
    let mut interrupts = 0;
    loop {
        let prompt = tokio::select! {
            line = input.prompt() => match line {
                Some(line) if line.trim().is_empty() => continue,
                Some(line) => line,
                None => break,
            },
            ended = signals.next() => {
                interrupts += 1;
                input.interrupted();
                if ended == TERMINATED || interrupts > 1 {
                    code = ended;
                    break;
                }
                screen.line("Ctrl-C again, or Ctrl-D, to leave");
                continue;
            }
        };
        interrupts = 0;
        let mut request = TurnRequest::new(prompt).with_context(options.context.clone());
        if let Some(id) = &thread {
            request = request.with_resume(id);
        }
        // A signal drops the turn: Codex ends it, with its commands, and the thread goes on with the next one.
        code = tokio::select! {
            code = follow(turn_stream(turns.clone(), request), screen, &mut questions, &mut thread) => code,
            ended = signals.next() => {
                interrupts += 1;
                input.interrupted();
                screen.line("cancelled");
                ended
            }
        };
        if let Some(memory) = &memory {
            let timeline = Timeline::new(&memory.take());
            let timeline = timeline.colored_on(&io::stderr()).to_string();
            screen.line(timeline.trim_end());
        }
        if code == TERMINATED {
            break;
        }
        if options.is_ephemeral {
            // Nothing of the thread is left to go on with.
            thread = None;
        }
    }
    screen.end_line();
    codex.shutdown(GRACE).await;
    Ok(code)
}

/// The signals that end a turn or the program.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Returns the exit code of the next one.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => INTERRUPTED,
            _ = self.terminate.recv() => TERMINATED,
        }
    }
}

/// Shows the progress of a turn, and returns its exit code.
async fn follow<T>(
    turn: impl Stream<Item = TurnUpdate<T, BoxError>>,
    screen: &Screen,
    questions: &mut Questions,
    thread: &mut Option<String>,
) -> u8 {
    let mut turn = std::pin::pin!(turn);
    let mut shown = Shown::new(screen);
    loop {
        let update = tokio::select! {
            // Only when all progress is shown, a question is.
            biased;
            update = turn.next() => update,
            never = questions.allow() => match never {},
        };
        let Some(update) = update else {
            return 1;
        };
        match update {
            TurnUpdate::Progress(Progress::ThreadStarted { thread_id }) => {
                if thread.as_ref() != Some(&thread_id) {
                    screen.line(&format!("thread {thread_id}"));
                    *thread = Some(thread_id);
                }
            }
            TurnUpdate::Progress(progress) => shown.show(&progress),
            TurnUpdate::Done(Ok(_)) => return 0,
            TurnUpdate::Done(Err(error)) => {
                // The whole text: the message of the classification is what an event may have of it.
                let class = CodexClassifier.of(&*error).class;
                let text = Classification::of(class, &*error).message;
                let text = printable(&text.unwrap_or_default());
                screen.line(&format!("{class}: {text}"));
                return if error.is::<Elapsed>() { 124 } else { 1 };
            }
        }
    }
}
