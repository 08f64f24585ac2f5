use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use codex_telemetry::{
    CodexClassifier, Event, Operation, Originator, ServiceBuilderExt,
    turn::{CodexAppServer, CodexAppServerBuilder, Turn, TurnError, TurnRequest},
};
use tempfile::TempDir;
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::checked::MemorySink;

/// The deadline of each test: far longer than any of them takes, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// What a script does that never ends the turn by itself.
pub(crate) const ENDLESS: &str = "turn() { log turning; }; serve";

/// A service with its layers, their sink, and the directory of its fake servers.
pub(crate) struct Rig {
    pub(crate) sink: MemorySink,
    pub(crate) service: CodexAppServer,
    directory: TempDir,
}

pub(crate) fn fake_codex() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/app_server/fake-codex")
}

impl Rig {
    pub(crate) fn new(script: &str) -> Self {
        Self::with(script, |builder| builder)
    }

    pub(crate) fn with(
        script: &str,
        configure: impl FnOnce(CodexAppServerBuilder) -> CodexAppServerBuilder,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let builder = CodexAppServer::builder()
            .codex(fake_codex())
            .env("FAKE_CODEX", script)
            .env("FAKE_DIRECTORY", directory.path());
        Self {
            sink: MemorySink::new(),
            service: configure(builder).build(),
            directory,
        }
    }

    pub(crate) fn service(
        &self,
    ) -> impl Service<TurnRequest, Response = Turn, Error = TurnError, Future: Send> + use<> {
        ServiceBuilder::new()
            .originator(Originator::Sdk)
            .timing(self.sink.clone())
            .error_class(CodexClassifier)
            .service(self.service.clone())
    }

    /// Returns the future of a turn in a new thread.
    pub(crate) fn turn(
        &self,
    ) -> impl Future<Output = Result<Turn, TurnError>> + Send + Unpin + 'static {
        self.run(TurnRequest::new("a prompt"))
    }

    /// Returns the future of a turn in a thread.
    pub(crate) fn turn_of(
        &self,
        thread_id: &str,
    ) -> impl Future<Output = Result<Turn, TurnError>> + Send + Unpin + 'static {
        self.run(TurnRequest::new("a prompt").with_resume(thread_id))
    }

    /// Returns the future of a turn. It panics if the turn hangs.
    pub(crate) fn run(
        &self,
        request: TurnRequest,
    ) -> impl Future<Output = Result<Turn, TurnError>> + Send + Unpin + 'static {
        let turn = self.service().oneshot(request);
        Box::pin(in_time(turn))
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns what the servers have logged: their ids, and what each did.
    pub(crate) fn log(&self) -> Vec<(u32, String)> {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let lines = log.lines().filter_map(|line| {
            let (pid, what) = line.split_once(' ')?;
            Some((pid.parse().unwrap(), what.to_owned()))
        });
        lines.collect()
    }

    /// Returns how often the servers have logged something.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.log()
            .iter()
            .filter(|(_, logged)| logged == what)
            .count()
    }

    /// Returns the ids of the servers, in the order of their starts.
    pub(crate) fn servers(&self) -> Vec<u32> {
        let log = self.log().into_iter();
        log.filter(|(_, what)| what == "start")
            .map(|(pid, _)| pid)
            .collect()
    }

    /// Waits until the servers have logged something `count` times.
    pub(crate) async fn until_logged(&self, what: &str, count: usize) {
        let logged = comes_true(|| self.count(what) >= count).await;
        assert!(logged, "no {what}: {:?}", self.log());
    }

    /// Waits until no server runs any more.
    pub(crate) async fn until_gone(&self) {
        let gone = comes_true(|| !self.servers().into_iter().any(is_running)).await;
        assert!(gone, "a server still runs: {:?}", self.servers());
    }

    /// Returns the terminal events of the turns.
    pub(crate) fn turn_events(&self) -> Vec<Event> {
        let mut events = self.sink.events();
        events.retain(|event| event.kind().is_terminal() && event.operation() == Operation::Turn);
        events
    }
}

/// Panics if a future is not ready in time.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("it hangs")
}

/// Polls until a condition holds; returns `false` when it does not hold within the deadline.
pub(crate) async fn comes_true(mut condition: impl FnMut() -> bool) -> bool {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, poll).await.is_ok()
}

/// Returns whether a process runs. A zombie does not.
pub(crate) fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
    state.is_some_and(|state| state != b'Z' && state != b'X')
}
