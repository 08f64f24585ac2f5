use std::{ffi::OsStr, path::PathBuf, time::Duration};

use rustix::process::Signal;

use super::CodexExec;
use crate::turn::{
    Sandbox,
    process::{Supervisor, SupervisorConfig},
    request::Settings,
};

/// Configures a [`CodexExec`].
///
/// ```
/// use codex_telemetry::turn::{CodexExec, Sandbox, TurnRequest};
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
/// # echo '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"'"$RUST_LOG"'"}}'
/// # echo '{"type":"turn.completed","usage":{"input_tokens":7,"output_tokens":2}}'
/// # "#)?;
/// # fs::set_permissions(&codex_path, fs::Permissions::from_mode(0o755))?;
/// let turns = CodexExec::builder()
///     .codex(codex_path)
///     // Defaults, which a request can replace.
///     .model("gpt-5.5")
///     .sandbox(Sandbox::ReadOnly)
///     .working_directory("/")
///     .config("model_reasoning_effort", "high")
///     .ephemeral(true)
///     // Whatever the user of the machine has set.
///     .skip_git_repo_check(true)
///     .ignore_user_config(true)
///     .env("RUST_LOG", "debug")
///     .env_remove("DATABASE_URL")
///     // How much a turn may take of this program.
///     .line_limit(4 * 1024 * 1024)
///     .output_limit(64 * 1024 * 1024)
///     .exit_grace(Duration::from_secs(2))
///     .build();
/// let turn = turns.oneshot(TurnRequest::new("Which level do you log?")).await?;
/// assert_eq!(turn.final_message.as_deref(), Some("debug"));
/// # Ok(())
/// # }
/// ```
///
/// # Precedence
///
/// Some settings are defaults for the requests of the service:
///
/// | setting | in the order in which it applies; the last one wins |
/// |---|---|
/// | model, sandbox | Codex's own configuration, the service, the request |
/// | whether a thread is ephemeral | the service, the request |
/// | working directory | the one of this process, the service, the request |
/// | a key of the configuration | Codex's own configuration, the service, the request |
/// | an environment variable | [inherited](CodexExec#environment), originator and trace context of the call, the service, the request |
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct CodexExecBuilder {
    config: Config,
}

/// The configuration of a [`CodexExec`].
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) codex: Option<PathBuf>,
    pub(super) skip_git_repo_check: bool,
    pub(super) ignore_user_config: bool,
    pub(super) line_limit: usize,
    pub(super) output_limit: usize,
    pub(super) exit_grace: Duration,
    supervisor: SupervisorConfig,
    pub(super) env_clear: bool,
    pub(super) defaults: Settings,
}

impl CodexExecBuilder {
    pub(super) fn new() -> Self {
        Self {
            config: Config {
                codex: None,
                skip_git_repo_check: false,
                ignore_user_config: false,
                line_limit: 16 * 1024 * 1024,
                output_limit: 256 * 1024 * 1024,
                exit_grace: Duration::from_secs(5),
                supervisor: SupervisorConfig {
                    watchdog: true,
                    kill_doubtful_orphans: false,
                    stop_signal: Some(Signal::INT),
                },
                env_clear: false,
                defaults: Settings::default(),
            },
        }
    }

    /// Sets the binary: a path, or a name to search on the `PATH`.
    pub fn codex(mut self, program: impl Into<PathBuf>) -> Self {
        self.config.codex = Some(program.into());
        self
    }

    /// Sets the default model.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.config.defaults.model = Some(model.into());
        self
    }

    /// Sets the default of what Codex may do to the machine.
    pub fn sandbox(mut self, sandbox: Sandbox) -> Self {
        self.config.defaults.sandbox = Some(sandbox);
        self
    }

    /// Sets the default working directory.
    pub fn working_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.defaults.working_directory = Some(path.into());
        self
    }

    /// Overrides one key of Codex's configuration, for all requests, as
    /// [`TurnRequest::with_config`](super::super::TurnRequest::with_config) does for one.
    pub fn config(mut self, key: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        let pair = (key.into(), value.into());
        self.config.defaults.config.push(pair);
        self
    }

    /// Sets an environment variable of Codex and its commands, for all requests.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let change = (key.as_ref().into(), Some(value.as_ref().into()));
        self.config.defaults.environment.push(change);
        self
    }

    /// Removes an environment variable of Codex and its commands, for all requests.
    pub fn env_remove(mut self, key: impl AsRef<OsStr>) -> Self {
        let change = (key.as_ref().into(), None);
        self.config.defaults.environment.push(change);
        self
    }

    /// Makes Codex inherit no environment variables.
    ///
    /// Variables that [`env`](Self::env) or the request sets stay, whichever method is called first. Codex
    /// needs `HOME` or `CODEX_HOME`, and finds its commands on the `PATH`; so does this service, when it
    /// searches for `codex`.
    ///
    /// ```
    /// use codex_telemetry::turn::{CodexExec, TurnRequest};
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
    /// # echo '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"'"$CODEX_HOME, ${CARGO_PKG_NAME:-nothing inherited}"'"}}'
    /// # echo '{"type":"turn.completed","usage":{"input_tokens":7,"output_tokens":2}}'
    /// # "#)?;
    /// # fs::set_permissions(&codex_path, fs::Permissions::from_mode(0o755))?;
    /// let turns = CodexExec::builder()
    ///     .codex(codex_path)
    ///     .env_clear()
    ///     .env("CODEX_HOME", "/srv/codex")
    ///     .build();
    /// let turn = turns.oneshot(TurnRequest::new("What do you see?")).await?;
    /// assert_eq!(turn.final_message.as_deref(), Some("/srv/codex, nothing inherited"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn env_clear(mut self) -> Self {
        self.config.env_clear = true;
        self
    }

    /// Sets whether Codex may work in a directory that is not a git repository; it refuses by default.
    pub fn skip_git_repo_check(mut self, skip: bool) -> Self {
        self.config.skip_git_repo_check = skip;
        self
    }

    /// Sets the default of whether new threads leave nothing on disk, and so cannot be resumed.
    pub fn ephemeral(mut self, ephemeral: bool) -> Self {
        self.config.defaults.ephemeral = Some(ephemeral);
        self
    }

    /// Sets whether Codex ignores the user's `config.toml`.
    pub fn ignore_user_config(mut self, ignore: bool) -> Self {
        self.config.ignore_user_config = ignore;
        self
    }

    /// Sets the maximum length of a line of Codex's output, in bytes; the default is 16 MiB.
    ///
    /// A longer line ends the turn with [`TurnError::Protocol`](super::super::TurnError::Protocol), before
    /// the service holds it in memory.
    pub fn line_limit(mut self, bytes: usize) -> Self {
        self.config.line_limit = bytes;
        self
    }

    /// Sets how much Codex may write within one turn, in bytes; the default is 256 MiB.
    ///
    /// The service keeps the items of a turn until it ends, so this limits the memory of a turn: it is a few
    /// times the limit at most, and a copy of each item for a reader of progress. What follows the end of the
    /// turn is not kept and does not count. More output
    /// ends the turn with [`TurnError::OutputTooLarge`](super::super::TurnError::OutputTooLarge).
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.config.output_limit = bytes;
        self
    }

    /// Sets how long Codex may take to exit after it has ended the turn or closed its output; the default is
    /// 5 seconds.
    ///
    /// The service kills a process that takes longer. A turn that had ended by then keeps its result.
    pub fn exit_grace(mut self, grace: Duration) -> Self {
        self.config.exit_grace = grace;
        self
    }

    /// Sets whether a watchdog kills Codex when this program dies without dropping its turns; it does by
    /// default.
    ///
    /// The watchdog is a shell, `/bin/sh`. The first turn of a service starts it, the clones of the service
    /// share it, and it exits with the last clone. Without it Codex and its commands continue when SIGKILL
    /// ends this program.
    pub fn watchdog(mut self, enabled: bool) -> Self {
        self.config.supervisor.watchdog = enabled;
        self
    }

    /// Sets whether the service kills orphaned processes of which it cannot tell whether they work for others;
    /// it reports them by default. Linux only.
    ///
    /// [`CodexExec`](CodexExec#cancel-safety) describes them.
    ///
    /// ```
    /// use codex_telemetry::turn::CodexExec;
    ///
    /// // In a container of its own, in which no process works for others, and which ends with this program.
    /// let turns = CodexExec::builder().kill_doubtful_orphans(true).watchdog(false).build();
    /// assert_eq!(turns.active(), 0);
    /// ```
    pub fn kill_doubtful_orphans(mut self, kill: bool) -> Self {
        self.config.supervisor.kill_doubtful_orphans = kill;
        self
    }

    /// Returns the service.
    #[must_use]
    pub fn build(self) -> CodexExec {
        let supervisor = Supervisor::new(self.config.supervisor);
        CodexExec::from_parts(self.config, supervisor)
    }
}
