use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::PathBuf,
    time::Duration,
};

use serde_json::Value;
use tower::{ServiceExt, util::BoxCloneSyncService};
use tower_service::Service;

use super::CodexAppServer;
use crate::{
    approval::{ApprovalRequest, Decision},
    error::BoxError,
    tool::HostTools,
    turn::{
        ApprovalPolicy, Sandbox,
        process::{Supervisor, SupervisorConfig},
        request::Settings,
    },
};

/// Any approver.
pub(super) type Approver = BoxCloneSyncService<ApprovalRequest, Decision, BoxError>;

/// Configures a [`CodexAppServer`].
///
/// ```
/// use codex_telemetry::{
///     approval::{ApprovalRequest, Decision},
///     turn::{ApprovalPolicy, CodexAppServer, Sandbox},
/// };
/// use std::{convert::Infallible, time::Duration};
/// use tower::service_fn;
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
/// #         tell item/completed '"item":{"id":"i","type":"agentMessage","text":"Done."}'
/// #         tell turn/completed '"turn":{"id":"1","status":"completed","error":null}'
/// #         ;;
/// #     *) answer '{}' ;;
/// #     esac
/// # done
/// # "#)?;
/// # fs::set_permissions(&codex_path, fs::Permissions::from_mode(0o755))?;
/// let approver = service_fn(|request: ApprovalRequest| async move {
///     Ok::<_, Infallible>(Decision::decline(format!("nobody was asked about {}", request.tool)))
/// });
/// let turns = CodexAppServer::builder()
///     .codex(codex_path)
///     .client_name("release_bot")
///     .approver(approver, Duration::from_secs(60))
///     // Defaults, which a request can replace.
///     .model("gpt-5.5")
///     .sandbox(Sandbox::WorkspaceWrite)
///     .approval_policy(ApprovalPolicy::OnRequest)
///     .working_directory("/")
///     .ephemeral(false)
///     // Of the server, and so of all turns.
///     .config("model_reasoning_effort", "high")
///     .env("RUST_LOG", "debug")
///     .env_remove("DATABASE_URL")
///     .build();
/// turns.start().await?;
/// # turns.shutdown(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
///
/// What a server may take, in time and in memory:
///
/// ```
/// use codex_telemetry::turn::{CodexAppServer, TurnError};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let turns = CodexAppServer::builder()
///     .codex("/no/such/codex")
///     .request_timeout(Duration::from_secs(20))
///     .interrupt_timeout(Duration::from_secs(5))
///     .exit_grace(Duration::from_secs(2))
///     // A server that nobody uses costs nothing.
///     .idle_timeout(Duration::from_secs(600))
///     .max_threads(8)
///     .line_limit(8 * 1024 * 1024)
///     .output_limit(64 * 1024 * 1024)
///     // In a container of its own, which ends with this program.
///     .watchdog(false)
///     .kill_doubtful_orphans(true)
///     .build();
/// assert!(matches!(turns.start().await, Err(TurnError::CodexNotFound { .. })));
/// # }
/// ```
///
/// # Precedence
///
/// | setting | in the order in which it applies; the last one wins |
/// |---|---|
/// | model, sandbox, approval policy | Codex's own configuration, the last turn of the thread, the service, the request |
/// | working directory | the one of this process, the last turn of the thread, the service, the request |
/// | a key of the configuration | Codex's own configuration, the service, the request that [loads the thread](CodexAppServer#threads) |
/// | ephemeral | no, the service, the request; of a thread that is resumed, what it was |
/// | an environment variable | [inherited](CodexAppServer#environment), the service |
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct CodexAppServerBuilder {
    config: Config,
}

/// The configuration of a [`CodexAppServer`].
#[derive(Clone)]
pub(super) struct Config {
    pub(super) codex: Option<PathBuf>,
    pub(super) client_name: String,
    pub(super) line_limit: usize,
    pub(super) output_limit: usize,
    pub(super) request_timeout: Duration,
    pub(super) interrupt_timeout: Duration,
    pub(super) exit_grace: Duration,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) max_threads: usize,
    pub(super) approver: Option<(Approver, Duration)>,
    pub(super) host_tools: Option<HostTools>,
    pub(super) env_clear: bool,
    /// Of the server.
    pub(super) environment: Vec<(OsString, Option<OsString>)>,
    /// Of the server.
    pub(super) config: Vec<(String, Value)>,
    supervisor: SupervisorConfig,
    pub(super) defaults: Settings,
}

impl CodexAppServerBuilder {
    pub(super) fn new() -> Self {
        Self {
            config: Config {
                codex: None,
                client_name: "codex_telemetry".to_owned(),
                line_limit: 64 * 1024 * 1024,
                output_limit: 256 * 1024 * 1024,
                request_timeout: Duration::from_secs(60),
                interrupt_timeout: Duration::from_secs(10),
                exit_grace: Duration::from_secs(5),
                idle_timeout: None,
                max_threads: 32,
                approver: None,
                host_tools: None,
                env_clear: false,
                environment: Vec::new(),
                config: Vec::new(),
                supervisor: SupervisorConfig {
                    watchdog: true,
                    kill_doubtful_orphans: false,
                    // A signal would end it without its turns: the connection does that.
                    stop_signal: None,
                },
                defaults: Settings::default(),
            },
        }
    }

    /// Sets the binary: a path, or a name to search on the `PATH`.
    pub fn codex(mut self, program: impl Into<PathBuf>) -> Self {
        self.config.codex = Some(program.into());
        self
    }

    /// Sets the name by which the server reports this program to the model's provider; the default is
    /// `codex_telemetry`.
    ///
    /// An inherited `CODEX_INTERNAL_ORIGINATOR_OVERRIDE` wins over it.
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.config.client_name = name.into();
        self
    }

    /// Sets who decides when Codex asks, and how long that may take.
    ///
    /// The approver is a tower service of [`ApprovalRequest`]. Codex does what it asked for only if the approver
    /// accepts in time. An approver that declines, fails, panics or is late is a no, and so is having no approver.
    ///
    /// Each question gets a clone of the approver, so several can be open at once: in a turn, if Codex runs commands
    /// in parallel, and in turns beside each other. The time of a question runs from when it is asked. When the turn is
    /// dropped or ends, the approver's future is dropped.
    pub fn approver<A>(mut self, approver: A, deadline: Duration) -> Self
    where
        A: Service<ApprovalRequest, Response = Decision> + Clone + Send + Sync + 'static,
        A::Error: Into<BoxError>,
        A::Future: Send + 'static,
    {
        let approver = BoxCloneSyncService::new(approver.map_err(Into::into));
        self.config.approver = Some((approver, deadline));
        self
    }

    /// Sets the tools of this program that the model can call.
    ///
    /// Each new thread has those that are enabled when it is started. Codex keeps them with the thread, also when it is
    /// resumed: a service that resumes a thread answers the calls of the tools that it has itself, and tells the model of
    /// the others that they do not exist. It cannot give a thread other tools.
    ///
    /// The calls of a response run at the same time, in the future of the turn: when the turn is dropped or ends, they
    /// are dropped. They stand still, and their deadlines do not, while 16 MiB of answers wait for a server to read them.
    /// Codex asks nobody before it calls them: that is up to an [`ApprovalLayer`](crate::tool::ApprovalLayer) in the stack,
    /// with the approver of the service or another one.
    ///
    /// [`HostTools`] says which events a call has.
    ///
    /// ```
    /// use codex_telemetry::{
    ///     ToolError,
    ///     tool::{HostTools, ToolService, ToolSpec, tool_fn},
    ///     turn::CodexAppServer,
    /// };
    /// use serde_json::Value;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), codex_telemetry::tool::ToolSpecError> {
    /// let echo = tool_fn(|value: Value, _context| async move { Ok::<_, ToolError>(value) });
    /// let registry = ToolService::builder().tool(ToolSpec::new("echo", "Returns it"), echo).build()?;
    /// let tools = HostTools::new(&registry, registry.clone(), Duration::from_secs(60));
    /// let turns = CodexAppServer::builder().tools(tools).build();
    ///
    /// // Threads that start from now on do not have it.
    /// registry.set_enabled("echo", false).expect("the registry has the tool");
    /// assert_eq!((turns.active(), registry.is_enabled("echo")), (0, false));
    /// # Ok(())
    /// # }
    /// ```
    pub fn tools(mut self, tools: HostTools) -> Self {
        self.config.host_tools = Some(tools);
        self
    }

    /// Sets the default model. Without one a new thread has the one of Codex's own configuration.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.config.defaults.model = Some(model.into());
        self
    }

    /// Sets the default of what Codex may do to the machine.
    pub fn sandbox(mut self, sandbox: Sandbox) -> Self {
        self.config.defaults.sandbox = Some(sandbox);
        self
    }

    /// Sets the default of when Codex asks for an approval.
    pub fn approval_policy(mut self, policy: ApprovalPolicy) -> Self {
        self.config.defaults.approval_policy = Some(policy);
        self
    }

    /// Sets the default working directory.
    pub fn working_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.defaults.working_directory = Some(path.into());
        self
    }

    /// Overrides one key of Codex's configuration, for all threads, as
    /// [`TurnRequest::with_config`](crate::turn::TurnRequest::with_config) does for one.
    ///
    /// It is a flag of the server, which the other users of the machine can see: a secret belongs into the
    /// [environment](Self::env). Codex may refuse some keys there that it takes for a thread, such as
    /// `approval_policy`: there are methods for those.
    pub fn config(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        let pair = (key.into(), value.into());
        self.config.config.push(pair);
        self
    }

    /// Sets whether new threads leave nothing on disk, and so cannot be resumed.
    pub fn ephemeral(mut self, ephemeral: bool) -> Self {
        self.config.defaults.ephemeral = Some(ephemeral);
        self
    }

    /// Sets an environment variable of the server and of the commands of all turns.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let change = (key.as_ref().into(), Some(value.as_ref().into()));
        self.config.environment.push(change);
        self
    }

    /// Removes an environment variable of the server and of the commands of all turns.
    pub fn env_remove(mut self, key: impl AsRef<OsStr>) -> Self {
        let change = (key.as_ref().into(), None);
        self.config.environment.push(change);
        self
    }

    /// Makes the server inherit no environment variables.
    ///
    /// Those that [`env`](Self::env) sets stay, whichever method is called first. Codex needs `HOME` or `CODEX_HOME`,
    /// and finds its commands on the `PATH`; so does this service, when it searches for `codex`.
    ///
    /// ```
    /// use codex_telemetry::turn::CodexAppServer;
    /// use std::time::Duration;
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
    /// # printf '%s' "${CARGO_PKG_NAME:-nothing}" >"$SEEN"
    /// # while IFS= read -r line; do
    /// #     id=${line#'{"id":'}
    /// #     id=${id%%,*}
    /// #     case $line in
    /// #     *'"method":"initialized"'*) ;;
    /// #     *'"method":"thread/'[sr]*) answer '{"thread":{"id":"'$thread'"},"model":"fake","modelProvider":"fake"}' ;;
    /// #     *'"method":"turn/start"'*)
    /// #         answer '{"turn":{"id":"1"}}'
    /// #         tell item/completed '"item":{"id":"i","type":"agentMessage","text":"Done."}'
    /// #         tell turn/completed '"turn":{"id":"1","status":"completed","error":null}'
    /// #         ;;
    /// #     *) answer '{}' ;;
    /// #     esac
    /// # done
    /// # "#)?;
    /// # fs::set_permissions(&codex_path, fs::Permissions::from_mode(0o755))?;
    /// # let seen = directory.path().join("seen");
    /// let turns = CodexAppServer::builder()
    ///     .codex(codex_path)
    ///     .env_clear()
    ///     .env("CODEX_HOME", "/srv/codex")
    /// #   .env("SEEN", &seen)
    ///     .build();
    /// turns.start().await?;
    /// # assert_eq!(fs::read_to_string(seen)?, "nothing");
    /// # turns.shutdown(Duration::from_secs(5)).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn env_clear(mut self) -> Self {
        self.config.env_clear = true;
        self
    }

    /// Sets the maximum length of a line of the server's output, in bytes; the default is 64 MiB.
    ///
    /// A longer line ends the server, and its turns.
    pub fn line_limit(mut self, bytes: usize) -> Self {
        self.config.line_limit = bytes;
        self
    }

    /// Sets how much the server may write about one turn, in bytes; the default is 256 MiB.
    ///
    /// More of it ends the turn with [`TurnError::OutputTooLarge`](super::super::TurnError::OutputTooLarge). The outputs
    /// of the program's own tools, which the server repeats, do not count.
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.config.output_limit = bytes;
        self
    }

    /// Sets how long the server may take to answer a request; the default is a minute. A turn itself may take any
    /// time.
    ///
    /// A server that has not answered runs its turns to their end, and gets no new ones.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.config.request_timeout = timeout;
        self
    }

    /// Sets how long the server may take to end a turn that was cancelled; the default is 10 seconds.
    ///
    /// A server that takes longer is given up: it is killed when its other turns have ended.
    pub fn interrupt_timeout(mut self, timeout: Duration) -> Self {
        self.config.interrupt_timeout = timeout;
        self
    }

    /// Sets how long the server may take to exit after its standard input was closed; the default is 5 seconds. It
    /// is killed then.
    pub fn exit_grace(mut self, grace: Duration) -> Self {
        self.config.exit_grace = grace;
        self
    }

    /// Sets after how long a server without turns is ended; by default it lives as long as the service.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = Some(timeout);
        self
    }

    /// Sets how many threads without a turn stay loaded; the default is 32.
    ///
    /// A loaded thread takes about a megabyte and a process for each of its MCP servers, and its next turn starts
    /// at once. The threads that were used last stay; a turn of another one loads it again.
    pub fn max_threads(mut self, count: usize) -> Self {
        self.config.max_threads = count;
        self
    }

    /// Sets whether a watchdog kills the server when this program dies without dropping the service; it does by
    /// default.
    ///
    /// The watchdog is a shell, `/bin/sh`, as the one of [`CodexExec`](crate::turn::CodexExec). It is started with
    /// the server, the clones of the service share it, and it exits with the last clone.
    pub fn watchdog(mut self, enabled: bool) -> Self {
        self.config.supervisor.watchdog = enabled;
        self
    }

    /// Sets whether the service kills orphaned processes of which it cannot tell whether they work for others;
    /// it reports them by default. Linux only.
    ///
    /// [`CodexExec`](crate::turn::CodexExec#cancel-safety) describes them.
    pub fn kill_doubtful_orphans(mut self, kill: bool) -> Self {
        self.config.supervisor.kill_doubtful_orphans = kill;
        self
    }

    /// Returns the service. The server is started by the first turn.
    #[must_use]
    pub fn build(self) -> CodexAppServer {
        let supervisor = Supervisor::new(self.config.supervisor);
        CodexAppServer::from_parts(self.config, supervisor)
    }
}

/// Leaves out what may be confidential.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("codex", &self.codex)
            .field("client_name", &self.client_name)
            .field("has_approver", &self.approver.is_some())
            .field("host_tools", &self.host_tools)
            .field("defaults", &self.defaults)
            .finish_non_exhaustive()
    }
}
