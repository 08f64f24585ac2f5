//! The model, directories, sink and services of a test.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use codex_telemetry::{
    Classification, ErrorClassLayer, Originator, OriginatorLayer, TimingLayer,
    turn::{CodexExec, CodexExecBuilder, Turn, TurnError, TurnRequest},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::{Service, ServiceBuilder, ServiceExt};

#[cfg(target_os = "linux")]
use crate::processes::running;
use crate::{
    binary, calls::Calls, checked::MemorySink, isolated::isolated_request, model::Model,
    reply::Reply,
};

/// The deadline of each step of a test: far longer than a busy machine needs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Bench {
    pub(crate) model: Model,
    pub(crate) sink: MemorySink,
    /// `CODEX_HOME` and `HOME`. The login shell of a command must not run the scripts of the user: some take
    /// locks, which stay after a kill.
    pub(crate) home: TempDir,
    /// The working directory.
    pub(crate) work: TempDir,
    pub(crate) codex: &'static Path,
}

impl Bench {
    /// Starts a model with the replies `script`; returns `None` without a Codex.
    pub(crate) fn start(script: impl IntoIterator<Item = Reply>) -> Option<Self> {
        let codex = binary::codex()?;
        let directory = |name| tempfile::Builder::new().prefix(name).tempdir().unwrap();
        Some(Self {
            model: Model::start(script),
            sink: MemorySink::new(),
            home: directory("codex-home-"),
            work: directory("codex-work-"),
            codex,
        })
    }

    /// Returns a request to this bench's model, isolated from the Codex of the machine.
    pub(crate) fn request(&self, prompt: impl Into<String>) -> TurnRequest {
        self.request_to(&self.model.url("/v1"), prompt)
    }

    /// As [`request`](Self::request), to another model.
    pub(crate) fn request_to(&self, base_url: &str, prompt: impl Into<String>) -> TurnRequest {
        isolated_request(base_url, self.home.path(), self.work.path(), prompt)
    }

    pub(crate) fn turns(&self) -> CodexExecBuilder {
        CodexExec::builder()
            .codex(self.codex)
            .skip_git_repo_check(true)
    }

    /// Returns the path of a script that runs `before` and then Codex.
    #[cfg(unix)]
    pub(crate) fn codex_after(&self, before: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;

        let path = self.home.path().join("codex.sh");
        let codex = self.codex.display();
        std::fs::write(
            &path,
            format!("#!/bin/sh\n{before}\nexec '{codex}' \"$@\"\n"),
        )
        .unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    /// Returns the settings of an MCP server that is a script.
    pub(crate) fn mcp_server(&self, script: &str) -> Value {
        let path = self.mcp_script();
        std::fs::write(&path, script).unwrap();
        json!({"command": "/bin/sh", "args": [path]})
    }

    /// Returns how many processes run that script.
    #[cfg(target_os = "linux")]
    pub(crate) fn mcp_servers(&self) -> usize {
        let mut running = running(&self.mcp_script().display().to_string());
        // The server of Codex has the path among its settings.
        running.retain(|process| process.command_line.starts_with("/bin/sh"));
        running.len()
    }

    fn mcp_script(&self) -> PathBuf {
        self.home.path().join("server.sh")
    }

    /// Returns a turn service with the three layers.
    pub(crate) fn layered<S>(
        &self,
        turns: S,
    ) -> impl Service<TurnRequest, Response = Turn, Error = TurnError, Future: Send> + use<S>
    where
        S: Service<TurnRequest, Response = Turn, Error = TurnError, Future: Send>,
    {
        self.classified(turns, TurnError::classification)
    }

    /// Returns any service with the three layers.
    pub(crate) fn classified<S, C>(
        &self,
        turns: S,
        classify: C,
    ) -> impl Service<TurnRequest, Response = Turn, Error = S::Error, Future: Send> + use<S, C>
    where
        S: Service<TurnRequest, Response = Turn, Future: Send>,
        C: Fn(&S::Error) -> Classification + Clone + Send,
    {
        ServiceBuilder::new()
            .layer(OriginatorLayer::new(Originator::Sdk))
            .layer(TimingLayer::new(self.sink.clone()))
            .layer(ErrorClassLayer::new(classify))
            .service(turns)
    }

    /// Runs a turn through the layers.
    pub(crate) async fn run(&self, request: TurnRequest) -> Result<Turn, TurnError> {
        self.run_by(self.turns().build(), request).await
    }

    pub(crate) async fn run_by(
        &self,
        turns: CodexExec,
        request: TurnRequest,
    ) -> Result<Turn, TurnError> {
        in_time(self.layered(turns).oneshot(request)).await
    }

    /// Returns the calls so far, which have `turns` turns.
    pub(crate) fn calls(&self, turns: usize) -> Calls {
        let calls = Calls::new(&self.sink.events());
        assert_eq!(calls.turns.len(), turns, "ended turns");
        calls
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the message of a failed test")]
            {
                let asked = self.model.asked();
                eprintln!("{}", self.sink.timeline());
                eprintln!("{:#?}", self.sink.events());
                eprintln!(
                    "the model got {} requests, and has {} replies left",
                    asked.len(),
                    self.model.left()
                );
            }
        }
        #[cfg(target_os = "linux")]
        crate::processes::kill_left_over(self.home.path());
    }
}

/// Waits for a future, and fails the test at the deadline.
pub(crate) async fn in_time<F: Future>(future: F) -> F::Output {
    let result = tokio::time::timeout(DEADLINE, future).await;
    result.unwrap_or_else(|_| panic!("not ready within {DEADLINE:?}"))
}

/// Polls until a condition holds; returns `false` when it does not hold within the deadline.
pub(crate) async fn comes_true(mut condition: impl FnMut() -> bool) -> bool {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, poll).await.is_ok()
}

/// Polls until a condition holds, and fails the test at the deadline.
pub(crate) async fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(
        comes_true(condition).await,
        "not within {DEADLINE:?}: {what}"
    );
}
