//! Runs one turn of the real Codex CLI. Standard output has its events as JSON lines, and nothing else;
//! standard error has its progress.
//!
//! ```text
//! cargo run --example exec -- [OPTION]… PROMPT
//! ```
//!
//! The turn runs in a `codex exec` of its own, or with `--app-server` in a server that is started for it: of the
//! stack, only the innermost service changes.
//!
//! With `CODEX_OTLP_ENDPOINT` set, the calls are also exported over OTLP. `--log` writes them as log lines,
//! and `--timeline` draws them after the turn, both on standard error. SIGUSR1 has it say which calls are active, and
//! what the turn waits for.
//!
//! Exit code: 0 when the turn completed, 1 when it failed, 2 on invalid usage, 124 on timeout, 130 and 143
//! when a Ctrl-C or a SIGTERM cancelled it.

use std::{
    convert::Infallible,
    ffi::OsString,
    future::pending,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use codex_telemetry::{
    ActiveCalls, BoxError, CallContext, Classification, CodexClassifier, FanOut, JsonLinesSink,
    MemorySink, Originator, OtlpSink, ServiceBuilderExt, TracingSink, otlp,
    turn::{
        ApprovalPolicy, CodexAppServer, CodexExec, Drained, ItemKind, ItemStatus, Progress,
        Sandbox, Turn, TurnError, TurnRequest, TurnUpdate, turn_stream,
    },
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_stream::{Stream, StreamExt};
use tower::{Service, ServiceBuilder, timeout::error::Elapsed};
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

const USAGE: &str = "\
usage: exec [OPTION]... PROMPT

  --codex PATH            the Codex CLI (default: CODEX_PATH, or codex on the PATH)
  --app-server            run the turn by codex app-server instead of codex exec
  --log FILTER            what to log on standard error, such as codex_telemetry::events=debug
                          (default: warnings, without events)
  -c, --config KEY=VALUE  override a key of Codex's configuration, by JSON or else by a text; may be repeated
  --model M               the model
  --sandbox MODE          read-only, workspace-write or danger-full-access
  --cd DIR                the working directory
  --skip-git-repo-check   allow a directory that is not a git repository; codex app-server allows any
  --resume ID             resume a thread
  --originator NAME       who asks: cli (the default), sdk, or a name
  --timeout SECONDS       cancel the turn after this time
  --timeline              show the timeline after the turn
";

/// The default filter: warnings of the crate, for example of an exporter that cannot start.
const LOG: &str = "warn,codex_telemetry::events=off";

/// How long the program waits for the processes of the turn.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the program waits for the export before it exits.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            print(&format!("{error}\n\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::registry()
        .with(fmt::layer().with_writer(io::stderr))
        .with(options.log.clone())
        .init();
    // Disabled, unless the environment has a receiver. An error there does not affect the turn.
    let export = otlp::from_env();
    let code = choose(options, export.clone())
        .await
        .unwrap_or_else(|error| {
            print(&format!("cannot listen for signals: {error}"));
            1
        });
    if let Some(export) = export
        && let Err(undelivered) = export.shutdown(EXPORT_TIMEOUT).await
    {
        print(&undelivered.to_string());
    }
    ExitCode::from(code)
}

/// Runs the turn by the service that was asked for.
async fn choose(options: Options, export: Option<OtlpSink>) -> io::Result<u8> {
    if options.app_server {
        // Nobody is there to ask, as with `codex exec`.
        let mut codex = CodexAppServer::builder()
            .client_name(options.originator.to_string())
            .approval_policy(ApprovalPolicy::Never);
        if let Some(path) = &options.codex {
            codex = codex.codex(path);
        }
        let codex = codex.build();
        return run(options, export, codex.clone(), || codex.drain()).await;
    }
    let mut codex = CodexExec::builder().skip_git_repo_check(options.skip_git_repo_check);
    if let Some(path) = &options.codex {
        codex = codex.codex(path);
    }
    let codex = codex.build();
    run(options, export, codex.clone(), || codex.drain()).await
}

async fn run<S, D>(
    options: Options,
    export: Option<OtlpSink>,
    codex: S,
    drain: impl FnOnce() -> D,
) -> io::Result<u8>
where
    S: Service<TurnRequest, Response = Turn, Error = TurnError>,
    D: Future<Output = Drained>,
{
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let asked = signal(SignalKind::user_defined1())?;

    let active = ActiveCalls::new();
    let memory = options.timeline.then(MemorySink::new);
    // The timeout is inside of the error class layer, which classifies its error.
    let turns = ServiceBuilder::new()
        .originator(options.originator)
        .timing(
            FanOut::new()
                .with(TracingSink::new())
                .with(JsonLinesSink::new(io::stdout()))
                .with(memory.clone())
                .with(active.clone())
                .with(export),
        )
        .error_class(CodexClassifier)
        .timeout(options.timeout)
        .service(codex);

    // A signal drops the turn: Codex is killed, and the outcome of the event is `cancelled`.
    let code = tokio::select! {
        code = follow(turn_stream(turns, options.request)) => code,
        _ = interrupt.recv() => 128 + 2,
        _ = terminate.recv() => 128 + 15,
        never = show_active(&active, asked) => match never {},
    };
    // The processes of a dropped turn exit within milliseconds, and nobody else waits for them.
    if tokio::time::timeout(DRAIN_TIMEOUT, drain()).await.is_err() {
        print("the processes of the turn have not exited");
    }
    if let Some(memory) = memory {
        let timeline = memory.timeline().colored_on(&io::stderr()).to_string();
        print(timeline.trim_end());
    }
    Ok(code)
}

/// Prints the calls that are active whenever the signal comes.
async fn show_active(active: &ActiveCalls, mut asked: Signal) -> Infallible {
    while asked.recv().await.is_some() {
        print(active.to_string().trim_end());
    }
    pending().await
}

/// Prints the progress of the turn, and returns the exit code.
async fn follow<T>(turn: impl Stream<Item = TurnUpdate<T, BoxError>>) -> u8 {
    let mut turn = std::pin::pin!(turn);
    while let Some(update) = turn.next().await {
        match update {
            TurnUpdate::Progress(progress) => show(&progress),
            TurnUpdate::Done(Ok(_)) => return 0,
            TurnUpdate::Done(Err(error)) => {
                // The whole text: the message of the classification is what an event may have of it.
                let class = CodexClassifier.of(&*error).class;
                let text = Classification::of(class, &*error).message;
                print(&format!("{class}: {}", text.unwrap_or_default()));
                return if error.is::<Elapsed>() { 124 } else { 1 };
            }
        }
    }
    1
}

fn show(progress: &Progress) {
    let text = match progress {
        Progress::ThreadStarted { thread_id } => format!("thread {thread_id}"),
        Progress::ItemStarted(item) => match &item.kind {
            ItemKind::CommandExecution { command, .. } => format!("$ {command}"),
            ItemKind::McpToolCall { server, tool, .. } => format!("{server}/{tool}"),
            _ => return,
        },
        Progress::ItemCompleted(item) => match &item.kind {
            ItemKind::AgentMessage { text } => text.clone(),
            ItemKind::CommandExecution {
                exit_code: Some(code),
                status: ItemStatus::Failed,
                ..
            } => format!("exited with {code}"),
            ItemKind::FileChange { changes, .. } => {
                let paths = changes
                    .iter()
                    .map(|change| format!("{} {}", change.kind, change.path.display()));
                paths.collect::<Vec<_>>().join("\n")
            }
            ItemKind::Warning { message } => message.clone(),
            _ => return,
        },
        Progress::Retrying { message } | Progress::Warning { message } => message.clone(),
        _ => return,
    };
    print(&text);
}

fn print(text: &str) {
    // A closed standard error does not end the turn.
    let _ = writeln!(io::stderr(), "{text}");
}

struct Options {
    codex: Option<PathBuf>,
    app_server: bool,
    log: Targets,
    originator: Originator,
    skip_git_repo_check: bool,
    timeout: Duration,
    timeline: bool,
    request: TurnRequest,
}

impl Options {
    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;

        let mut codex = None;
        let mut app_server = false;
        let mut log = LOG.parse().expect("a filter");
        let mut originator = Originator::Cli;
        let mut skip_git_repo_check = false;
        let mut timeout = Duration::MAX;
        let mut timeline = false;
        let mut prompt = None;
        let mut settings: Vec<Box<dyn FnOnce(TurnRequest) -> TurnRequest>> = Vec::new();

        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("codex") => codex = Some(parser.value()?.into()),
                Long("app-server") => app_server = true,
                Long("log") => log = parser.value()?.parse()?,
                Short('c') | Long("config") => {
                    let pair = parser.value()?.string()?;
                    let (key, value) = pair.split_once('=').ok_or("-c needs KEY=VALUE")?;
                    let (key, text) = (key.to_owned(), value);
                    let value: serde_json::Value =
                        serde_json::from_str(text).unwrap_or_else(|_| text.into());
                    settings.push(Box::new(|request| request.with_config(key, value)));
                }
                Long("model") => {
                    let model = parser.value()?.string()?;
                    settings.push(Box::new(|request| request.with_model(model)));
                }
                Long("sandbox") => {
                    let name = parser.value()?.string()?;
                    let mode = Sandbox::from_name(&name).ok_or(
                        "--sandbox needs read-only, workspace-write or danger-full-access",
                    )?;
                    settings.push(Box::new(move |request| request.with_sandbox(mode)));
                }
                Long("cd") => {
                    let directory = PathBuf::from(parser.value()?);
                    settings.push(Box::new(|request| {
                        request.with_working_directory(directory)
                    }));
                }
                Long("skip-git-repo-check") => skip_git_repo_check = true,
                Long("resume") => {
                    let thread = parser.value()?.string()?;
                    settings.push(Box::new(|request| request.with_resume(thread)));
                }
                Long("originator") => originator = parser.value()?.parse()?,
                Long("timeout") => {
                    let seconds: f64 = parser.value()?.parse()?;
                    timeout = Duration::try_from_secs_f64(seconds)
                        .map_err(|_| "--timeout needs a number of seconds, from 0")?;
                }
                Long("timeline") => timeline = true,
                Value(text) if prompt.is_none() => prompt = Some(text.string()?),
                other => return Err(other.unexpected()),
            }
        }

        // The span of the program that started this one.
        let variable = |name| std::env::var(name).ok();
        let context = match variable("TRACEPARENT") {
            Some(parent) => {
                CallContext::new().with_traceparent(&parent, variable("TRACESTATE").as_deref())
            }
            None => CallContext::new(),
        };
        let request = TurnRequest::new(prompt.ok_or("missing PROMPT")?).with_context(context);
        Ok(Self {
            codex,
            app_server,
            log,
            originator,
            skip_git_repo_check,
            timeout,
            timeline,
            request: settings
                .into_iter()
                .fold(request, |request, set| set(request)),
        })
    }
}
