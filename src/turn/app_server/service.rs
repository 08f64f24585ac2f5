use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tower_service::Service;

use super::{
    CodexAppServerBuilder, builder::Config, run::Shared, servers::Servers,
    thread_locks::ThreadLocks, turns::Turns,
};
use crate::{
    call::CodexRequest,
    turn::{Drained, Turn, TurnError, TurnFuture, TurnRequest, process::Supervisor},
};

/// Runs many turns in one process of the Codex CLI, its app-server.
///
/// The binary is the one of the builder, or else the one in `CODEX_PATH`, or else `codex` on the `PATH`. The first
/// turn starts the server, or [`start`](Self::start) does ahead of it, and the clones of the service share it.
/// [`turn`](crate::turn#which-service) compares the service with [`CodexExec`](crate::turn::CodexExec).
///
/// The service is always ready, and runs turns of different threads at the same time: put tower's
/// `ConcurrencyLimit` around it to limit their number.
///
/// ```
/// use codex_telemetry::turn::{CodexAppServer, TurnRequest};
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
/// # thread=00000000-0000-7000-8000-000000000001
/// # answer() { printf '{"id":%s,"result":%s}\n' "$id" "$1"; }
/// # tell() { printf '{"method":"%s","params":{"threadId":"%s","turnId":"1",%s}}\n' "$1" $thread "$2"; }
/// # while IFS= read -r line; do
/// #     id=${line#'{"id":'}
/// #     id=${id%%,*}
/// #     case $line in
/// #     *'"method":"initialized"'*) ;;
/// #     *'"method":"thread/'[sr]*) answer '{"thread":{"id":"'$thread'"},"model":"fake","modelProvider":"fake"}' ;;
/// #     *'"method":"turn/start"'*)
/// #         answer '{"turn":{"id":"1"}}'
/// #         tell item/completed '"item":{"id":"i","type":"agentMessage","text":"Found it."}'
/// #         tell turn/completed '"turn":{"id":"1","status":"completed","error":null}'
/// #         ;;
/// #     *) answer '{}' ;;
/// #     esac
/// # done
/// # "#)?;
/// # fs::set_permissions(&codex_path, fs::Permissions::from_mode(0o755))?;
/// // With `CodexAppServer::new()`, the binary is `codex`.
/// let turns = CodexAppServer::builder().codex(codex_path).build();
/// turns.start().await?;
/// let turn = turns.clone().oneshot(TurnRequest::new("Find the slowest test")).await?;
/// assert_eq!(turn.final_message.as_deref(), Some("Found it."));
///
/// if let Some(thread) = turn.thread_id {
///     let next = TurnRequest::new("Make it faster").with_resume(thread);
///     turns.clone().oneshot(next).await?;
/// }
/// // Before the program exits, it waits for the turns that run, or ends them.
/// let drained = turns.drain().await;
/// assert_eq!((turns.active(), drained.orphans.len()), (0, 0));
/// turns.shutdown(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
///
/// # What it records
///
/// On the open call: the [phases](crate::Phase) in which the turn spent its time, and the last one of a turn that does
/// not complete, the model and its provider, tokens, the times to the first event and to the first token, the number of
/// tool calls and of model responses, retries, the wait for the thread, the ids of the thread and the turn, Codex's own
/// kind of an error with its HTTP status, and, if the server ended, its exit code or signal. Retries,
/// rate limits and compactions are span events.
///
/// Each tool call that Codex makes in the turn becomes a child call, and so does each response of the model
/// ([`Operation::Chat`](crate::Operation)). Their times are those at which Codex's messages came in, whether or not
/// the future was polled. [`error_classes`](crate::error_classes) says what is recorded of an error.
///
/// Prompts, answers, and the commands, arguments and outputs of tools are content. They are recorded only for a
/// sink that [captures content](crate::Sink::captures_content).
///
/// Codex gets the trace of the open call with the turn. So its own spans, if it exports them, are in that trace, and
/// its MCP servers get the trace context with each call of a tool. Commands do not get it.
///
/// # Approvals
///
/// Codex asks before it runs a command, edits a file, calls the tool of an MCP server, or extends its permissions.
/// When it does is up to the [policy](crate::turn::TurnRequest::with_approval_policy) and the sandbox. The
/// [approver](CodexAppServerBuilder::approver) of the service decides. Without one, and without a yes in time, the
/// answer is no, and the turn goes on; an approver can also [cancel](crate::Decision::Cancel) the turn, which then
/// fails with [`TurnError::CancelledByApprover`]. A tool that was declined ends with the class `approval_denied`.
///
/// [`approval`](crate::approval) has the kinds of questions. What else Codex may ask, such as a question of the
/// model to the user, is refused, since there is nobody to answer it.
///
/// # Threads
///
/// A turn has a new thread, or with [`with_resume`](crate::turn::TurnRequest::with_resume) one that exists, of this
/// server or of another process before it. A thread has one turn at a time: the next one waits, in the order of the
/// calls, and the open call has the time as `codex.turn.thread_wait_ms`.
///
/// Codex keeps the model, the directory, the sandbox and the policy of a thread from turn to turn; what the request or
/// the service sets replaces them. Other keys of the configuration are read when a thread is loaded. A
/// request that sets another value for a thread that is loaded fails with [`TurnError::InvalidRequest`], except for
/// `model_reasoning_effort` and `model_reasoning_summary`.
///
/// A loaded thread has about a megabyte, and a process for each of its MCP servers. So the service lets threads go:
///
/// - An ephemeral one after its only turn: nothing is left to resume.
/// - Of the others, the ones that were used last stay, up to [`max_threads`](CodexAppServerBuilder::max_threads)
///   without a turn. A turn of another one loads it again, from its file in `CODEX_HOME`.
///
/// No other process can run a turn of a thread that is loaded: Codex rejects it.
///
/// Codex is told to unload a thread as soon as it is let go (`thread_unload_delay_secs` of its configuration, which the
/// builder can set as well). A server that has 96 threads more than `max_threads`, with those of sub-agents, as when so
/// many turns run at once, gets no new ones: the service starts another server for them, and the old one ends with its last turn.
///
/// # Environment
///
/// The server and its commands inherit the environment of this process, without what belongs to this process alone:
/// the credentials of the telemetry export, as [`CodexExec`](crate::turn::CodexExec#environment) lists them, and
/// `TRACEPARENT` and `TRACESTATE`, since the turns belong to different traces. A request cannot change the environment:
/// it fails with [`TurnError::InvalidRequest`]. The [builder](CodexAppServerBuilder#precedence) has the order in which
/// all settings apply.
///
/// # Runtime
///
/// Its futures need a tokio runtime with I/O and time enabled. The connection to the server is served by tasks of the
/// runtime in which the server was started. When that runtime ends, the server is killed, and its turns fail.
///
/// # When the server dies
///
/// Its turns fail with [`TurnError::ServerExited`], of the class `transport`. The next turn starts another server:
/// after a pause of 100 ms, which doubles with each server in a row that fails without having completed a turn, up to
/// 30 seconds. Threads go on by their ids, as far as Codex had written them down.
///
/// # Cancel safety
///
/// Dropping the future cancels the turn, without waiting: the server is told to interrupt it and to end its commands.
/// Until it has, the thread stays locked, and [`active`](Self::active) counts the turn. A server that takes longer than
/// [`interrupt_timeout`](CodexAppServerBuilder::interrupt_timeout) gets no new turns, and is killed when the others
/// have ended. The thread can be resumed.
///
/// The thread that owns the process of the server kills and reaps it with every process below it, and treats what a
/// server has left behind, as [`CodexExec`](crate::turn::CodexExec#cancel-safety) describes it: on Linux also orphaned
/// processes. A program that dies without dropping the service leaves no processes either, because of the
/// [`watchdog`](CodexAppServerBuilder::watchdog).
///
/// **Before a program exits**, it calls [`shutdown`](Self::shutdown), or waits for [`drain`](Self::drain). When the last
/// clone is dropped, the server is told to exit as well, but nobody waits for that.
#[derive(Clone)]
pub struct CodexAppServer {
    shared: Arc<Shared>,
    supervisor: Supervisor,
    turns: Turns,
}

// === impl CodexAppServer ===

impl CodexAppServer {
    /// Returns a service with the defaults.
    ///
    /// ```
    /// use codex_telemetry::turn::CodexAppServer;
    ///
    /// // The server is started by the first turn, or by `start`.
    /// let turns = CodexAppServer::new();
    /// assert_eq!(turns.active(), 0);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder with the defaults.
    pub fn builder() -> CodexAppServerBuilder {
        CodexAppServerBuilder::new()
    }

    pub(super) fn from_parts(config: Config, supervisor: Supervisor) -> Self {
        let config = Arc::new(config);
        let servers = Servers::new(Arc::clone(&config), supervisor.clone());
        Self {
            shared: Arc::new(Shared {
                config,
                servers,
                locks: ThreadLocks::default(),
            }),
            supervisor,
            turns: Turns::default(),
        }
    }

    /// Has the turns use a server that was started in another way.
    #[cfg(any(test, fuzzing))]
    pub(super) fn with_server(self, server: super::server::Server) -> Self {
        self.shared.servers.use_server(server);
        self
    }

    /// Starts the server ahead of the first turn, and returns when it is ready.
    ///
    /// # Errors
    ///
    /// The error that a turn would have.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends a server that is being started.
    pub async fn start(&self) -> Result<(), TurnError> {
        tokio::select! {
            started = self.shared.servers.start() => started,
            () = self.supervisor.stopping() => Err(TurnError::Stopped),
        }
    }

    /// Returns the number of active turns of this service and its clones: those whose future exists and has not
    /// returned, and those that were dropped and that the server has not ended yet.
    #[must_use]
    pub fn active(&self) -> usize {
        self.turns.count()
    }

    /// Waits until no turn is active any more, ends the server, and waits until nothing of it is left.
    ///
    /// Turns that run are neither ended nor refused. One that begins meanwhile is waited for, and may start a
    /// server again.
    ///
    /// # Cancel safety
    ///
    /// It can be called again after its future was dropped.
    pub async fn drain(&self) -> Drained {
        loop {
            if !self.supervisor.is_stopping() {
                tokio::select! {
                    () = self.turns.none() => {}
                    () = self.supervisor.stopping() => {}
                }
            }
            self.shared.servers.retire();
            if self.supervisor.is_stopping() {
                return self.supervisor.drain().await;
            }
            tokio::select! {
                drained = self.supervisor.drain() => return drained,
                () = self.turns.some() => {}
                () = self.supervisor.stopping() => {}
            }
        }
    }

    /// Stops the service and its clones, and waits until nothing of the server is left.
    ///
    /// New turns fail with [`TurnError::Stopped`]. The server is told to interrupt the turns that run, which then
    /// fail so as well, and to exit. What has not exited after `grace` is killed; of several calls, the earliest
    /// deadline counts. All that happens whether or not the futures of the turns are polled.
    ///
    /// # Cancel safety
    ///
    /// The service stops when the method is called and polled for the first time. After its future was dropped,
    /// [`drain`](Self::drain) goes on to wait.
    pub async fn shutdown(&self, grace: Duration) -> Drained {
        self.supervisor.stop(grace);
        self.drain().await
    }
}

impl Default for CodexAppServer {
    fn default() -> Self {
        Self::new()
    }
}

impl Service<TurnRequest> for CodexAppServer {
    type Response = Turn;
    type Error = TurnError;
    type Future = TurnFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TurnError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: TurnRequest) -> Self::Future {
        let active = self.turns.begin();
        let (shared, supervisor) = (Arc::clone(&self.shared), self.supervisor.clone());
        let phases = request.context().begin_phases();
        phases.tells_approvals();
        TurnFuture::new(Arc::clone(&phases), async move {
            if supervisor.is_stopping() {
                return Err(TurnError::Stopped);
            }
            let stopping = supervisor.stopping();
            shared.run(request, active, stopping, &phases).await
        })
    }
}

impl fmt::Debug for CodexAppServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodexAppServer")
            .field("config", &self.shared.config)
            .field("active", &self.active())
            .finish_non_exhaustive()
    }
}
