use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tower_service::Service;

use super::{CodexAppServerBuilder, builder::Config};
use crate::turn::{Drained, Turn, TurnError, TurnFuture, TurnRequest, process::Supervisor};

/// Runs many turns in one process of the Codex CLI.
#[derive(Clone, Debug)]
pub struct CodexAppServer {
    config: Arc<Config>,
    supervisor: Supervisor,
}

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
        Self {
            config: Arc::new(config),
            supervisor,
        }
    }

    /// Starts the server ahead of the first turn.
    pub async fn start(&self) -> Result<(), TurnError> {
        let _ = &self.config;
        todo!()
    }

    /// Returns the number of active turns.
    #[must_use]
    pub fn active(&self) -> usize {
        self.supervisor.active()
    }

    /// Waits until no turn is active any more, ends the idle server, and waits until nothing of it is left.
    pub async fn drain(&self) -> Drained {
        self.supervisor.drain().await
    }

    /// Stops the service and its clones: interrupts its turns, and ends the server within `grace`.
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

    fn call(&mut self, _: TurnRequest) -> Self::Future {
        TurnFuture::new(async { todo!() })
    }
}
