use std::{path::PathBuf, process::Command, sync::Arc};

use serde_json::json;
use tokio::sync::oneshot;

use super::{
    builder::Config,
    connection::{self, Connection},
    router::{Limits, Reason, RequestError, Router},
};
use crate::turn::{
    TurnError,
    cli::{Environment, check_config, find_codex, toml},
    process::Supervisor,
};

/// The notifications that the server need not send. Some of them are long.
pub(super) const OPTED_OUT: &[&str] = &[
    "rawResponseItem/completed",
    "turn/diff/updated",
    "thread/status/changed",
    "thread/readState/changed",
    "remoteControl/status/changed",
    "item/plan/delta",
    "item/fileChange/outputDelta",
    "item/fileChange/patchUpdated",
    "mcpServer/startupStatus/updated",
];

/// A server that runs. When this is dropped, it gets no new turns, and ends with its last one.
pub(super) struct Server(Arc<Router>);

impl Server {
    /// Starts a server, and waits until it answers.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the server.
    pub(super) async fn start(
        config: &Arc<Config>,
        supervisor: &Supervisor,
    ) -> Result<Self, TurnError> {
        let active = supervisor.begin().ok_or(TurnError::Stopped)?;
        let prepare = {
            let config = Arc::clone(config);
            move || prepare(&config)
        };
        let prepared = tokio::task::spawn_blocking(prepare).await;
        let (program, command) = prepared.map_err(|source| TurnError::Io {
            action: "preparing the server on a blocking thread",
            // Not by `into`, which would hide the `JoinError` that the classification looks for.
            source: std::io::Error::other(source),
        })??;
        let (mut process, pipes) = supervisor
            .spawn(command, active)
            .await
            .map_err(|source| TurnError::Spawn { program, source })?
            .ok_or(TurnError::Stopped)?;
        let (router, lines) = Router::new(Limits {
            request_timeout: config.request_timeout,
            interrupt_timeout: config.interrupt_timeout,
            idle_timeout: config.idle_timeout,
            max_threads: config.max_threads,
        });
        let (stdin, closed) = oneshot::channel();
        let (alive, killed) = oneshot::channel::<()>();
        let connection = Connection {
            router: Arc::clone(&router),
            stdout: pipes.stdout,
            stderr: pipes.stderr,
            exited: async move {
                tokio::select! {
                    exit = process.exited() => return exit,
                    // It is dropped, never sent.
                    _ = killed => process.kill(),
                }
                process.exited().await
            },
            alive,
            stdin,
            line_limit: config.line_limit,
            exit_grace: config.exit_grace,
        };
        let supervisor = supervisor.clone();
        tokio::spawn(async move { connection.serve(supervisor.stopping()).await });
        tokio::spawn(connection::write(pipes.stdin, lines, closed));
        let server = Self(router);
        server.initialize(config).await?;
        Ok(server)
    }

    async fn initialize(&self, config: &Config) -> Result<(), TurnError> {
        let params = json!({
            "clientInfo": {
                "name": config.client_name,
                "title": null,
                "version": env!("CARGO_PKG_VERSION"),
            },
            "capabilities": {
                "experimentalApi": true,
                "requestAttestation": false,
                "optOutNotificationMethods": OPTED_OUT,
            },
        });
        match self.0.request("initialize", params).await {
            Ok(_) => {
                self.0.notify("initialized");
                Ok(())
            }
            Err(RequestError::Over(over)) => Err(match (over.reason, over.status) {
                (Reason::Closed | Reason::Exited, Some(status)) => TurnError::Exited {
                    status,
                    thread_started: false,
                    message: None,
                    stderr: over.stderr.clone(),
                },
                _ => over.error(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns a server whose connection was made in another way.
    #[cfg(any(test, fuzzing))]
    pub(super) const fn of_router(router: Arc<Router>) -> Self {
        Self(router)
    }

    pub(super) fn router(&self) -> &Arc<Router> {
        &self.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.retire();
    }
}

/// Finds the binary. Blocks on the disk.
fn prepare(config: &Config) -> Result<(PathBuf, Command), TurnError> {
    let settings = config.config.iter();
    check_config(settings.map(|(key, value)| (&**key, value)))?;
    let environment = Environment {
        clear: config.env_clear,
        changes: &config.environment,
    };
    let program = find_codex(config.codex.as_deref(), &environment)?;
    let mut command = Command::new(&program);
    // A thread that was let go is unloaded at once. By default it takes a minute.
    command.arg("--config=thread_unload_delay_secs=0");
    for (key, value) in &config.config {
        let mut flag = format!("--config={key}=");
        toml::write(&mut flag, value);
        command.arg(flag);
    }
    command.arg("app-server");
    environment.apply_without_trace(&mut command);
    Ok((program, command))
}
