//! The layered app-server service of a test.

use codex_telemetry::turn::{
    CodexAppServer, CodexAppServerBuilder, Sandbox, Turn, TurnError, TurnRequest,
};
use std::time::Duration;
use tower::ServiceExt;

use crate::{
    bench::{Bench, in_time},
    isolated::{foreign_variables, settings},
};

/// A service with the three layers. The test has to [`end`](Self::end) it.
pub(crate) struct AppServer<'a> {
    bench: &'a Bench,
    pub(crate) turns: CodexAppServer,
    has_ended: bool,
}

impl Bench {
    /// Returns a service of this bench's model, isolated from the Codex of the machine, as `configure` changes it.
    /// Its server is started by the first turn.
    pub(crate) fn app_server(
        &self,
        configure: impl FnOnce(CodexAppServerBuilder) -> CodexAppServerBuilder,
    ) -> AppServer<'_> {
        let builder = self.app_server_builder(&self.model.url("/v1"));
        AppServer {
            bench: self,
            turns: configure(builder).build(),
            has_ended: false,
        }
    }

    /// Returns what [`app_server`](Self::app_server) configures, with the model at `base_url`.
    pub(crate) fn app_server_builder(&self, base_url: &str) -> CodexAppServerBuilder {
        let builder = CodexAppServer::builder().codex(self.codex);
        let builder = settings(base_url)
            .into_iter()
            .fold(builder, |builder, (key, value)| builder.config(key, value));
        foreign_variables()
            .fold(builder, |builder, name| builder.env_remove(name))
            .env("CODEX_HOME", self.home.path())
            .env("HOME", self.home.path())
            .env("MOCK_KEY", "k")
    }

    /// Returns a request for an app-server.
    pub(crate) fn ask(&self, prompt: impl Into<String>) -> TurnRequest {
        TurnRequest::new(prompt)
            .with_model("gpt-5.5")
            .with_working_directory(self.work.path())
            .with_sandbox(Sandbox::DangerFullAccess)
    }

    /// Returns a request for a later turn of the thread of `turn`.
    pub(crate) fn ask_on(&self, turn: &Turn, prompt: impl Into<String>) -> TurnRequest {
        self.ask(prompt)
            .with_resume(turn.thread_id.as_deref().unwrap())
    }
}

impl AppServer<'_> {
    /// Runs a turn through the layers.
    pub(crate) async fn run(&self, request: TurnRequest) -> Result<Turn, TurnError> {
        in_time(self.bench.layered(self.turns.clone()).oneshot(request)).await
    }

    /// Runs a turn that completes.
    pub(crate) async fn complete(&self, request: TurnRequest) -> Turn {
        self.run(request).await.unwrap()
    }

    /// Runs two turns at once that complete.
    pub(crate) async fn complete_both(&self, one: TurnRequest, other: TurnRequest) -> (Turn, Turn) {
        tokio::join!(self.complete(one), self.complete(other))
    }

    /// Ends the server, and fails the test if a process is left.
    pub(crate) async fn end(mut self) {
        self.has_ended = true;
        let drained = in_time(self.turns.shutdown(Duration::from_secs(30))).await;
        assert!(drained.orphans.is_empty(), "{drained:?}");
        #[cfg(target_os = "linux")]
        {
            let left = crate::processes::of_home(self.bench.home.path());
            assert!(left.is_empty(), "left of the server: {left:#?}");
        }
    }
}

impl Drop for AppServer<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.has_ended, "the test has not ended its server");
        }
    }
}
