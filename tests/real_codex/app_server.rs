//! The layered app-server service of a test.

use std::{path::Path, time::Duration};

use codex_telemetry::{
    BoxError, CodexClassifier,
    turn::{
        CodexAppServer, CodexAppServerBuilder, CodexExecBuilder, Sandbox, Turn, TurnError,
        TurnRequest,
    },
};
use tower::{Layer, ServiceExt, timeout::TimeoutLayer};

use crate::{
    bench::{Bench, in_time, until},
    isolated::{foreign_variables, settings},
};

/// A service with the three layers. The test has to [`end`](Self::end) it.
pub(crate) struct AppServer<'a> {
    bench: &'a Bench,
    pub(crate) turns: CodexAppServer,
    has_ended: bool,
}

/// How a turn is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Exec,
    AppServer,
}

impl Transport {
    pub(crate) const ALL: [Self; 2] = [Self::Exec, Self::AppServer];
}

impl Bench {
    /// Runs a request that is made for `codex exec`, by either transport.
    pub(crate) async fn run_on(
        &self,
        transport: Transport,
        request: TurnRequest,
    ) -> Result<Turn, TurnError> {
        self.run_as(transport, request, |exec| exec, |server| server)
            .await
    }

    /// As [`run_on`](Self::run_on), by a service that is configured.
    pub(crate) async fn run_as(
        &self,
        transport: Transport,
        request: TurnRequest,
        exec: impl FnOnce(CodexExecBuilder) -> CodexExecBuilder,
        server: impl FnOnce(CodexAppServerBuilder) -> CodexAppServerBuilder,
    ) -> Result<Turn, TurnError> {
        match transport {
            Transport::Exec => self.run_by(exec(self.turns()).build(), request).await,
            Transport::AppServer => {
                let (server, request) = self.app_server_of_with(&request, server);
                let result = server.run(request).await;
                server.end().await;
                result
            }
        }
    }

    /// As [`run_on`](Self::run_on), with a deadline of the stack, which has to pass.
    pub(crate) async fn run_until(
        &self,
        transport: Transport,
        deadline: Duration,
        request: TurnRequest,
    ) -> BoxError {
        let classify = |error: &BoxError| CodexClassifier.of(&**error);
        let layer = TimeoutLayer::new(deadline);
        let result = match transport {
            Transport::Exec => {
                let turns = self.classified(layer.layer(self.turns().build()), classify);
                in_time(turns.oneshot(request)).await
            }
            Transport::AppServer => {
                let (server, request) = self.app_server_of(&request);
                let turns = self.classified(layer.layer(server.turns.clone()), classify);
                let result = in_time(turns.oneshot(request)).await;
                server.end().await;
                result
            }
        };
        result.expect_err("the deadline did not pass")
    }

    /// As [`run_on`](Self::run_on), with another binary.
    pub(crate) async fn run_binary(
        &self,
        transport: Transport,
        codex: &Path,
        request: TurnRequest,
    ) -> Result<Turn, TurnError> {
        self.run_as(
            transport,
            request,
            |exec| exec.codex(codex),
            |server| server.codex(codex),
        )
        .await
    }

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

    /// Returns a service for a request that is made for `codex exec`, and the request without what the server has
    /// for all turns: configuration and environment.
    pub(crate) fn app_server_of(&self, request: &TurnRequest) -> (AppServer<'_>, TurnRequest) {
        self.app_server_of_with(request, |builder| builder)
    }

    /// As [`app_server_of`](Self::app_server_of), with more changes.
    pub(crate) fn app_server_of_with(
        &self,
        request: &TurnRequest,
        configure: impl FnOnce(CodexAppServerBuilder) -> CodexAppServerBuilder,
    ) -> (AppServer<'_>, TurnRequest) {
        let server = self.app_server(|builder| {
            let builder = request.config().fold(builder, |builder, (key, value)| {
                builder.config(key, value.clone())
            });
            let environment = request.environment();
            let builder = environment.fold(builder, |builder, (key, value)| match value {
                Some(value) => builder.env(key, value),
                None => builder.env_remove(key),
            });
            configure(builder)
        });
        let mut own = TurnRequest::new(request.prompt());
        if let Some(model) = request.model() {
            own = own.with_model(model);
        }
        if let Some(directory) = request.working_directory() {
            own = own.with_working_directory(directory);
        }
        if let Some(sandbox) = request.sandbox() {
            own = own.with_sandbox(sandbox);
        }
        if let Some(thread) = request.resume() {
            own = own.with_resume(thread);
        }
        if let Some(progress) = request.progress() {
            own = own.with_progress(progress.clone());
        }
        (server, own)
    }

    fn assert_no_server(&self) {
        #[cfg(target_os = "linux")]
        {
            let left = crate::processes::of_home(self.home.path());
            assert!(left.is_empty(), "left of the server: {left:#?}");
        }
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
    pub(crate) fn bench(&self) -> &Bench {
        self.bench
    }

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

    /// Runs a turn until a condition holds, and drops it.
    pub(crate) async fn drop_once(
        &self,
        what: &str,
        request: TurnRequest,
        condition: impl FnMut() -> bool,
    ) {
        tokio::select! {
            result = self.run(request) => panic!("the turn ended by itself: {result:?}"),
            () = until(what, condition) => {}
        }
    }

    /// Ends the server, and fails the test if a process is left.
    pub(crate) async fn end(self) {
        let bench = self.bench;
        self.shut_down().await;
        bench.assert_no_server();
    }

    /// As [`end`](Self::end), with another server of the bench.
    pub(crate) async fn end_with(self, other: Self) {
        let bench = self.bench;
        self.shut_down().await;
        other.shut_down().await;
        bench.assert_no_server();
    }

    async fn shut_down(mut self) {
        self.has_ended = true;
        let drained = in_time(self.turns.shutdown(Duration::from_secs(30))).await;
        assert!(drained.orphans.is_empty(), "{drained:?}");
    }
}

impl Drop for AppServer<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.has_ended, "the test has not ended its server");
        }
    }
}
