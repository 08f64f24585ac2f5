use std::{
    fmt,
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tower_service::Service;

use super::{
    invocation::{Invocation, Options},
    run::{self, Limits},
};
use crate::{
    call::CallContext,
    event::names,
    turn::{Turn, TurnError, TurnRequest, process::Watchdog, request::Parameters},
};

const DEFAULT_LINE_LIMIT: usize = 16 * 1024 * 1024;
const DEFAULT_OUTPUT_LIMIT: usize = 256 * 1024 * 1024;
const DEFAULT_EXIT_GRACE: Duration = Duration::from_secs(5);

/// Runs each turn in a process of the Codex CLI.
///
/// The binary is the one that the builder names, or else the one in `CODEX_PATH`, or else `codex` on
/// the `PATH`.
///
/// ```no_run
/// use codex_telemetry::turn::{TurnRequest, TurnService};
/// use tower::ServiceExt;
///
/// # async fn run() -> Result<(), codex_telemetry::turn::TurnError> {
/// let turn = TurnService::new().oneshot(TurnRequest::new("Say hi")).await?;
/// println!("{}", turn.final_message.unwrap_or_default());
/// # Ok(())
/// # }
/// ```
///
/// # What it records
///
/// On the open call: tokens, retries, the time to the first event, the exit code or signal, and, when
/// the turn does not complete, the end of what Codex wrote to standard error; the thread's id once
/// Codex tells it. Each tool call that Codex makes inside the turn becomes a call of its own, a child
/// of the turn's. Prompts, commands and outputs are not recorded, except as far as Codex repeats them in
/// an error's text or on standard error.
///
/// # Runtime
///
/// Its futures need a tokio runtime with I/O and time enabled.
///
/// # Cancel safety
///
/// Dropping the future cancels the turn: Codex is killed, with what it has started, and reaped. On
/// Linux that is every process below it; elsewhere it is its process group.
///
/// However Codex ends, what it leaves behind is killed as well: its process group, and on Linux what has
/// the turn's mark, `CODEX_TELEMETRY_TURN`, in its environment. A daemon lives on, which is what has
/// detached itself from its parent and writes to no pipe and no terminal.
///
/// A program that dies without dropping its futures, as by SIGKILL, leaves nothing of them either, unless
/// the builder's [`watchdog`](TurnServiceBuilder::watchdog) was switched off.
#[derive(Clone, Debug)]
pub struct TurnService {
    config: Arc<Config>,
    watchdog: Option<Arc<Watchdog>>,
}

#[derive(Clone, Debug)]
struct Config {
    options: Options,
    line_limit: usize,
    output_limit: usize,
    exit_grace: Duration,
    watchdog: bool,
}

/// Sets up a [`TurnService`].
///
/// ```
/// use codex_telemetry::turn::TurnService;
/// use std::time::Duration;
///
/// let turns = TurnService::builder()
///     .codex("/opt/codex/bin/codex")
///     .ephemeral(true)
///     .output_limit(64 * 1024 * 1024)
///     .exit_grace(Duration::from_secs(2))
///     .build();
/// # let _ = turns;
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct TurnServiceBuilder {
    config: Config,
}

/// The future of [`TurnService`].
///
/// # Cancel safety
///
/// Dropped before it is done, it cancels the turn; see [`TurnService`](TurnService#cancel-safety).
#[must_use = "futures do nothing unless polled"]
pub struct TurnFuture {
    // Boxed, because a turn's state is large next to the layers around it, and a process costs more.
    run: Pin<Box<dyn Future<Output = Result<Turn, TurnError>> + Send>>,
}

// === impl TurnService ===

impl TurnService {
    /// Returns a service with the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder with the defaults.
    pub fn builder() -> TurnServiceBuilder {
        TurnServiceBuilder {
            config: Config {
                options: Options::default(),
                line_limit: DEFAULT_LINE_LIMIT,
                output_limit: DEFAULT_OUTPUT_LIMIT,
                exit_grace: DEFAULT_EXIT_GRACE,
                watchdog: true,
            },
        }
    }
}

impl Default for TurnService {
    fn default() -> Self {
        Self::new()
    }
}

impl Service<TurnRequest> for TurnService {
    type Response = Turn;
    type Error = TurnError;
    type Future = TurnFuture;

    /// Always ready: put a concurrency limit around it where processes must be few.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TurnError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: TurnRequest) -> Self::Future {
        let (context, parameters) = request.into_parts();
        TurnFuture {
            run: Box::pin(turn(self.clone(), context, parameters)),
        }
    }
}

async fn turn(
    service: TurnService,
    context: CallContext,
    parameters: Arc<Parameters>,
) -> Result<Turn, TurnError> {
    if let Some(model) = &parameters.model {
        context.record(names::REQUEST_MODEL, model.clone());
    }
    let limits = Limits {
        line: service.config.line_limit,
        output: service.config.output_limit,
        exit_grace: service.config.exit_grace,
    };
    let prepare = {
        let (context, parameters) = (context.clone(), Arc::clone(&parameters));
        move || {
            let invocation = Invocation::prepare(&service.config.options, &context, &parameters)?;
            let watchdog = service.watchdog.and_then(|watchdog| watchdog.shell());
            Ok((invocation, watchdog))
        }
    };
    let prepared = tokio::task::spawn_blocking(prepare).await;
    let (invocation, watchdog) = prepared.map_err(|source| TurnError::Io {
        action: "preparing the turn on a blocking thread",
        // Kept inside, unlike by `into`: its class is that of the error.
        source: std::io::Error::other(source),
    })??;
    run::run(invocation, context, parameters, limits, watchdog).await
}

// === impl TurnServiceBuilder ===

impl TurnServiceBuilder {
    /// Sets the binary: a path, or a name to look up on the `PATH`.
    pub fn codex(mut self, program: impl Into<PathBuf>) -> Self {
        self.config.options.codex = Some(program.into());
        self
    }

    /// Sets whether Codex may work in a directory that is not a git repository; it refuses by default.
    pub fn skip_git_repo_check(mut self, skip: bool) -> Self {
        self.config.options.skip_git_repo_check = skip;
        self
    }

    /// Sets whether new threads leave nothing on disk, and so cannot be resumed.
    pub fn ephemeral(mut self, ephemeral: bool) -> Self {
        self.config.options.ephemeral = ephemeral;
        self
    }

    /// Sets whether Codex disregards the user's `config.toml`.
    pub fn ignore_user_config(mut self, ignore: bool) -> Self {
        self.config.options.ignore_user_config = ignore;
        self
    }

    /// Sets how long a line of Codex's output may be, in bytes; 16 MiB by default.
    ///
    /// A longer one ends the turn with [`TurnError::Protocol`], before it is held in memory.
    pub fn line_limit(mut self, bytes: usize) -> Self {
        self.config.line_limit = bytes;
        self
    }

    /// Sets how much Codex may write within one turn, in bytes; 256 MiB by default.
    ///
    /// The turn's items are kept until it ends, so this bounds the memory that it takes. More ends it
    /// with [`TurnError::OutputTooLarge`].
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.config.output_limit = bytes;
        self
    }

    /// Sets how long Codex may take to exit after it ended the turn or closed its output; 5 seconds by
    /// default.
    ///
    /// A process that takes longer is killed; a turn that had ended by then keeps its result.
    pub fn exit_grace(mut self, grace: Duration) -> Self {
        self.config.exit_grace = grace;
        self
    }

    /// Sets whether a watchdog ends the turns of a program that dies without ending them; it does by
    /// default.
    ///
    /// It is a shell, `/bin/sh`, which is started with the service's first turn, shared by its clones,
    /// and gone with them. Without it Codex goes on, with its commands, when this process is killed by
    /// SIGKILL.
    pub fn watchdog(mut self, watch: bool) -> Self {
        self.config.watchdog = watch;
        self
    }

    /// Returns the service.
    #[must_use]
    pub fn build(self) -> TurnService {
        TurnService {
            watchdog: self.config.watchdog.then(Arc::default),
            config: Arc::new(self.config),
        }
    }
}

// === impl TurnFuture ===

impl Future for TurnFuture {
    type Output = Result<Turn, TurnError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.run.as_mut().poll(cx)
    }
}

impl fmt::Debug for TurnFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnFuture").finish_non_exhaustive()
    }
}
