use std::{path::Path, process::Stdio, time::Duration};

use codex_telemetry::{
    CodexClassifier, Originator, OtlpConfig, OtlpSink, ServiceBuilderExt, Sink,
    otlp::{Signal, config::Protocol},
    turn::{CodexAppServer, CodexExec, Sandbox, Turn, TurnError, TurnRequest},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command};
use tower::{Service, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

use crate::{model::Model, reply::Reply};

pub(crate) const PROMPT: &str = "Run the command, then say that it is done.";
pub(crate) const MODEL: &str = "gpt-5.5";
const TIMEOUT: Duration = Duration::from_secs(30);

/// The model server, the directories of Codex, and both ways to run a turn by `codex exec`.
pub(crate) struct Harness {
    codex: &'static Path,
    /// Also receives OTLP.
    pub(crate) model: Model,
    pub(crate) home: TempDir,
    pub(crate) work: TempDir,
    config: Vec<(&'static str, Value)>,
    sink: OtlpSink,
    stack: Stack,
}

/// A turn service with the three layers.
pub(crate) type Stack = BoxCloneSyncService<TurnRequest, Turn, TurnError>;

impl Harness {
    pub(crate) fn new(codex: &'static Path) -> Self {
        let model = Model::start([]);
        // Without tables: as JSON, all else is TOML as well.
        let config = vec![
            ("analytics.enabled", false.into()),
            ("otel.metrics_exporter", "none".into()),
            ("model_provider", "mock".into()),
            ("model_providers.mock.name", "mock".into()),
            ("model_providers.mock.base_url", model.url("/v1").into()),
            ("model_providers.mock.env_key", "MOCK_KEY".into()),
            ("model_providers.mock.wire_api", "responses".into()),
            ("model_providers.mock.request_max_retries", 0.into()),
            ("model_providers.mock.stream_max_retries", 0.into()),
        ];
        let otlp = OtlpConfig::builder()
            .endpoint(&model.url(""))
            // The server responds to each export with an empty JSON object.
            .protocol(Protocol::HttpJson)
            // Short enough to export while turns run.
            .schedule_delay(Duration::from_millis(100))
            .metric_interval(Duration::from_millis(500))
            .build()
            .unwrap();
        let sink = OtlpSink::start(otlp);
        let turns = CodexExec::builder()
            .codex(codex)
            .skip_git_repo_check(true)
            .build();
        Self {
            codex,
            model,
            home: tempfile::tempdir().unwrap(),
            work: tempfile::tempdir().unwrap(),
            config,
            stack: layered(sink.clone(), turns),
            sink,
        }
    }

    /// Runs a turn by `codex exec` through the layers.
    pub(crate) async fn full(&self) {
        self.queue_replies();
        let request = TurnRequest::new(PROMPT)
            .with_model(MODEL)
            .with_sandbox(Sandbox::DangerFullAccess)
            .with_working_directory(self.work.path())
            .with_env("CODEX_HOME", self.home.path())
            .with_env("HOME", self.home.path())
            .with_env("MOCK_KEY", "k");
        let request = self.config.iter().fold(request, |request, (key, value)| {
            request.with_config(*key, value.clone())
        });
        let turn = self.stack.clone().oneshot(request).await.unwrap();
        assert_eq!(turn.final_message.as_deref(), Some("done"));
    }

    /// Runs the same turn without this crate, and does not parse its output.
    pub(crate) async fn plain(&self) {
        self.queue_replies();
        self.exec_by_hand().await;
    }

    /// As [`plain`](Self::plain), of a turn in which the agent runs no command.
    pub(crate) async fn plain_without_command(&self) {
        self.model.then([Reply::done()]);
        self.exec_by_hand().await;
    }

    async fn exec_by_hand(&self) {
        let mut command = self.command("exec");
        command
            .args(["--json", "--skip-git-repo-check", "--model", MODEL])
            .args(["--sandbox", "danger-full-access", "--cd"])
            .arg(self.work.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(PROMPT.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && stdout.contains("turn.completed"),
            "{stdout}"
        );
    }

    /// Returns a subcommand of Codex with the configuration.
    pub(crate) fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(self.codex);
        for (key, value) in &self.config {
            command.args(["--config", &format!("{key}={value}")]);
        }
        command
            .arg(subcommand)
            .env("CODEX_HOME", self.home.path())
            .env("HOME", self.home.path())
            .env("MOCK_KEY", "k");
        command
    }

    /// Returns an app-server with the configuration, and the same with the three layers and OTLP.
    pub(crate) fn app_server(&self) -> (CodexAppServer, Stack) {
        self.app_server_with(self.sink.clone())
    }

    /// As [`app_server`](Self::app_server), with another sink.
    pub(crate) fn app_server_with<K>(&self, sink: K) -> (CodexAppServer, Stack)
    where
        K: Sink + Clone + 'static,
    {
        let builder = CodexAppServer::builder()
            .codex(self.codex)
            .env("CODEX_HOME", self.home.path())
            .env("HOME", self.home.path())
            .env("MOCK_KEY", "k");
        let builder = self.config.iter().fold(builder, |builder, (key, value)| {
            builder.config(*key, value.clone())
        });
        let turns = builder.build();
        (turns.clone(), layered(sink, turns))
    }

    /// Queues the responses of the model for one turn.
    pub(crate) fn queue_replies(&self) {
        self.model.then([Reply::shell("echo hi"), Reply::done()]);
    }

    /// Shuts the sink down, and checks that it exported this number of spans.
    pub(crate) fn check_stats(&self, spans: u64) {
        self.sink.blocking_shutdown(TIMEOUT).unwrap();
        let stats = self.sink.stats();
        assert_eq!(stats.of(Signal::Traces).exported, spans, "{stats}");
        assert_eq!(stats.of(Signal::Traces).dropped, 0, "{stats}");
        assert_ne!(self.model.received("/v1/traces").len(), 0);
        println!("real_turn: {stats}");
    }
}

fn layered<K, S>(sink: K, turns: S) -> Stack
where
    K: Sink + Clone + 'static,
    S: Service<TurnRequest, Response = Turn, Error = TurnError> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let stack = ServiceBuilder::new()
        .originator(Originator::Sdk)
        .timing(sink)
        .error_class(CodexClassifier)
        .service(turns);
    BoxCloneSyncService::new(stack)
}
