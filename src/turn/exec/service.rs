use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tower_service::Service;

use super::{CodexExecBuilder, builder::Config, invocation::Invocation, run};
use crate::{
    call::CodexRequest,
    event::{PhaseClock, names},
    turn::{
        Drained, Turn, TurnError, TurnFuture, TurnRequest,
        calls::content,
        process::{Active, Supervisor},
        tool_server,
    },
};

/// Runs each turn in a process of the Codex CLI.
///
/// The binary is the one of the builder, or else the one in `CODEX_PATH`, or else `codex` on the `PATH`.
///
/// The service is always ready: put tower's `ConcurrencyLimit` around it to limit the number of processes.
///
/// ```
/// use codex_telemetry::turn::{TurnRequest, CodexExec};
/// use std::time::Duration;
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # // A stand-in for the Codex CLI.
/// # use std::{fs, os::unix::fs::PermissionsExt};
/// # let directory = tempfile::tempdir()?;
/// # let codex_path = directory.path().join("codex");
/// # fs::write(&codex_path, r#"#!/bin/sh
/// # echo '{"type":"thread.started","thread_id":"t"}'
/// # echo '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"'"hi"'"}}'
/// # echo '{"type":"turn.completed","usage":{"input_tokens":7,"output_tokens":2}}'
/// # "#)?;
/// # fs::set_permissions(&codex_path, fs::Permissions::from_mode(0o755))?;
/// // With `CodexExec::new()`, the binary is `codex`.
/// let turns = CodexExec::builder().codex(codex_path).build();
/// let turn = turns.clone().oneshot(TurnRequest::new("Say hi")).await?;
/// assert_eq!(turn.final_message.as_deref(), Some("hi"));
///
/// // Before the program exits.
/// let drained = turns.shutdown(Duration::from_secs(5)).await;
/// assert!(drained.orphans.is_empty());
/// # Ok(())
/// # }
/// ```
///
/// # What it records
///
/// On the open call: the [phases](crate::Phase) in which the turn spent its time, the model and its provider, tokens,
/// retries, the time to the first event, the exit code or signal, the thread's id, and, when the turn does not
/// complete, its last phase and the end of standard error. Each tool call that
/// Codex makes in the turn becomes a child call. The service does not record texts of the provider;
/// [`error_classes`](crate::error_classes) says what is recorded of an error.
///
/// Prompts, answers, and the commands, arguments and outputs of tools are content. They are recorded only for a
/// sink that [captures content](crate::Sink::captures_content).
///
/// # Environment
///
/// Codex and its commands inherit the environment of this process, without what belongs to this process
/// alone: `CODEX_OTLP_HEADERS`, `CODEX_OTLP_HEADERS_FILE`, `CODEX_OTLP_KEYFILE`,
/// `OTEL_EXPORTER_OTLP_HEADERS` and its forms for one signal (`OTEL_EXPORTER_OTLP_TRACES_HEADERS`,
/// `…_METRICS_HEADERS`, `…_LOGS_HEADERS`), which hold the credentials of the telemetry export. To pass one
/// of them on, set it with [`CodexExecBuilder::env`] or [`TurnRequest::with_env`].
///
/// The service sets `CODEX_INTERNAL_ORIGINATOR_OVERRIDE` to the originator of the call, unless it is
/// inherited, and `TRACEPARENT` and `TRACESTATE` to the span of the open call. The
/// [builder](CodexExecBuilder#precedence) has the order in which all settings apply.
///
/// # Runtime
///
/// Its futures need a tokio runtime with I/O and time enabled.
///
/// # Cancel safety
///
/// Dropping the future cancels the turn, without waiting. The thread that owns the process of Codex kills it
/// and reaps it: on Linux with every process below it, elsewhere with its process group.
///
/// When Codex exits by itself, the turn returns at once. The thread then kills what Codex has left of its
/// process group, and on Linux it searches for orphaned processes: those that were adopted by the first process
/// of the system or by another reaper above, and have the tag of the turn in their environment,
/// `CODEX_TELEMETRY_TAG`. Where their standard output and standard error lead decides about them, and about
/// everything below them:
///
/// - nowhere any more, or to the pipes of Codex: they are killed.
/// - to files and devices: they are daemons, and are spared.
/// - to somebody else, or one to a file and one nowhere: they are reported by a warning and by
///   [`drain`](Self::drain), and killed only with
///   [`kill_doubtful_orphans`](CodexExecBuilder::kill_doubtful_orphans).
///
/// A program that dies without dropping its futures, for example by SIGKILL, leaves no processes either: the
/// [`watchdog`](CodexExecBuilder::watchdog) kills Codex and what is below it, unless it is disabled.
///
/// **Before a program exits**, it waits for [`drain`](Self::drain), or calls [`shutdown`](Self::shutdown).
/// Otherwise what a turn has left just before, or a dropped turn's processes, may live on.
#[derive(Clone, Debug)]
pub struct CodexExec {
    config: Arc<Config>,
    supervisor: Supervisor,
}

// === impl CodexExec ===

impl CodexExec {
    /// Returns a service with the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder with the defaults.
    pub fn builder() -> CodexExecBuilder {
        CodexExecBuilder::new()
    }

    pub(super) fn from_parts(config: Config, supervisor: Supervisor) -> Self {
        Self {
            config: Arc::new(config),
            supervisor,
        }
    }

    /// Returns the number of active turns of this service and its clones: those whose future exists and has
    /// not returned, and those whose processes are still being ended. After a [`shutdown`](Self::shutdown),
    /// only the latter count.
    #[must_use]
    pub fn active(&self) -> usize {
        self.supervisor.active()
    }

    /// Waits until no turn is active any more. Turns that run are neither ended nor refused.
    ///
    /// Only then nothing of the turns is left, except for daemons and the [orphans](Drained::orphans) that were
    /// spared. A turn itself returns before that: it does not wait for the search for orphaned processes, and a
    /// dropped one does not wait for the death of its process.
    ///
    /// Processes that the kernel holds do not exit, so a caller may want a deadline. [`active`](Self::active)
    /// then counts what is left. The tasks that poll the turns may still be about to return their results: wait
    /// for them too.
    ///
    /// ```
    /// use codex_telemetry::turn::CodexExec;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let turns = CodexExec::new();
    /// // … turns run …
    /// if tokio::time::timeout(Duration::from_secs(30), turns.drain()).await.is_err() {
    ///     eprintln!("{} turns are still active", turns.active());
    /// }
    /// # assert_eq!(turns.active(), 0);
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// It can be called again after its future was dropped.
    pub async fn drain(&self) -> Drained {
        self.supervisor.drain().await
    }

    /// Stops the service and its clones, and waits until no turn is active any more.
    ///
    /// New turns fail with [`TurnError::Stopped`]. Codex gets SIGINT, as by Ctrl-C in a terminal. So it can write
    /// down what the turns have used, which a later turn of the thread builds on. What has not exited after
    /// `grace` is killed; of several calls, the earliest deadline counts. A turn that Codex does not end before
    /// fails with [`TurnError::Stopped`], and so does one that has not started Codex. All that happens whether or
    /// not the futures of the turns are polled.
    ///
    /// # Cancel safety
    ///
    /// The service stops when the method is called and polled for the first time. After its future was
    /// dropped, [`drain`](Self::drain) goes on to wait.
    pub async fn shutdown(&self, grace: Duration) -> Drained {
        self.supervisor.stop(grace);
        self.drain().await
    }

    async fn run(
        self,
        request: TurnRequest,
        active: Arc<Active>,
        phases: Arc<PhaseClock>,
    ) -> Result<Turn, TurnError> {
        let request = request.with_defaults(&self.config.defaults);
        if let Some(model) = request.model() {
            let context = request.context();
            context.record(names::REQUEST_MODEL, model.to_owned());
        }
        content::record_prompt(&request);
        let tools = tool_server::open(&request)?;
        let prepare = {
            let (config, request) = (Arc::clone(&self.config), request.clone());
            let tools = tools.clone();
            let active = Arc::clone(&active);
            // If the turn is dropped meanwhile, it is active until the temporary file of the invocation is gone.
            let phases = Arc::clone(&phases);
            move || {
                phases.starting_up();
                (
                    Invocation::prepare(&config, &request, tools.as_deref()),
                    active,
                )
            }
        };
        let prepared = tokio::select! {
            prepared = tokio::task::spawn_blocking(prepare) => prepared,
            () = self.supervisor.stopping() => return Err(TurnError::Stopped),
        };
        let (invocation, _active) = prepared.map_err(|source| TurnError::Io {
            action: "preparing the turn on a blocking thread",
            // Not by `into`, which would hide the `JoinError` that the classification looks for.
            source: std::io::Error::other(source),
        })?;
        run::run(
            invocation?,
            &request,
            tools.as_deref(),
            &self.config,
            &self.supervisor,
            active,
            &phases,
        )
        .await
    }
}

impl Default for CodexExec {
    fn default() -> Self {
        Self::new()
    }
}

impl Service<TurnRequest> for CodexExec {
    type Response = Turn;
    type Error = TurnError;
    type Future = TurnFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TurnError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: TurnRequest) -> Self::Future {
        let active = self.supervisor.begin();
        let service = self.clone();
        let phases = request.context().begin_phases();
        TurnFuture::new(Arc::clone(&phases), async move {
            let active = active.ok_or(TurnError::Stopped)?;
            service.run(request, active, phases).await
        })
    }
}
