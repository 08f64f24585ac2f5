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
use crate::turn::{Drained, Turn, TurnError, TurnFuture, TurnRequest, process::Supervisor};

/// Runs many turns in one process of the Codex CLI, its app-server.
#[derive(Clone)]
pub struct CodexAppServer {
    shared: Arc<Shared>,
    supervisor: Supervisor,
    turns: Turns,
}

// === impl CodexAppServer ===

impl CodexAppServer {
    /// Returns a service with the defaults.
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
        TurnFuture::new(async move {
            if supervisor.is_stopping() {
                return Err(TurnError::Stopped);
            }
            shared.run(request, active, supervisor.stopping()).await
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
