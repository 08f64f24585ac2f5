use std::{path::Path, process::Stdio, time::Duration};

use codex_telemetry::{
    CodexClassifier, Originator, OtlpConfig, OtlpSink, ServiceBuilderExt,
    otlp::{Signal, config::Protocol},
    turn::{Sandbox, Turn, TurnError, TurnRequest, TurnService},
};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

use crate::{model::Model, reply::Reply};

const PROMPT: &str = "Run the command, then say that it is done.";
const MODEL: &str = "gpt-5.5";
const PATIENCE: Duration = Duration::from_secs(30);

/// The model, directories of Codex's own, and both ways to run a turn.
pub(crate) struct Stage {
    codex: &'static Path,
    /// The model, and the receiver of OTLP.
    model: Model,
    home: TempDir,
    work: TempDir,
    config: Vec<(String, String)>,
    sink: OtlpSink,
    stack: BoxCloneSyncService<TurnRequest, Turn, TurnError>,
}

impl Stage {
    pub(crate) fn set(codex: &'static Path) -> Self {
        let model = Model::start([]);
        let provider = format!(
            "{{name=\"mock\",base_url=\"{}\",env_key=\"MOCK_KEY\",wire_api=\"responses\",\
             request_max_retries=0,stream_max_retries=0}}",
            model.url("/v1")
        );
        let config = [
            ("analytics.enabled", "false"),
            ("otel.metrics_exporter", "\"none\""),
            ("model_provider", "\"mock\""),
            ("model_providers.mock", &provider),
        ];
        let config = config.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let otlp = OtlpConfig::builder()
            .endpoint(&model.url(""))
            // The server's answer to everything is the empty object.
            .protocol(Protocol::HttpJson)
            // So that exports happen while turns run.
            .schedule_delay(Duration::from_millis(100))
            .metric_interval(Duration::from_millis(500))
            .build()
            .unwrap();
        let sink = OtlpSink::start(otlp);
        let turns = TurnService::builder()
            .codex(codex)
            .skip_git_repo_check(true)
            .build();
        let stack = ServiceBuilder::new()
            .originator(Originator::Sdk)
            .timing(sink.clone())
            .error_class(CodexClassifier)
            .service(turns);
        Self {
            codex,
            model,
            home: tempfile::tempdir().unwrap(),
            work: tempfile::tempdir().unwrap(),
            config: config.into(),
            sink,
            stack: BoxCloneSyncService::new(stack),
        }
    }

    /// A turn through the layers.
    pub(crate) async fn full(&self) {
        self.script();
        let request = TurnRequest::new(PROMPT)
            .with_model(MODEL)
            .with_sandbox(Sandbox::DangerFullAccess)
            .with_working_directory(self.work.path())
            .with_env("CODEX_HOME", self.home.path())
            .with_env("HOME", self.home.path())
            .with_env("MOCK_KEY", "k");
        let request = self.config.iter().fold(request, |request, (key, value)| {
            request.with_config(key, value)
        });
        let turn = self.stack.clone().oneshot(request).await.unwrap();
        assert_eq!(turn.final_message.as_deref(), Some("done"));
    }

    /// The same turn, as a program that reads nothing of it runs it.
    pub(crate) async fn plain(&self) {
        self.script();
        let mut command = Command::new(self.codex);
        command.args(["exec", "--json", "--skip-git-repo-check", "--model", MODEL]);
        for (key, value) in &self.config {
            command.args(["--config", &format!("{key}={value}")]);
        }
        command
            .args(["--sandbox", "danger-full-access", "--cd"])
            .arg(self.work.path())
            .env("CODEX_HOME", self.home.path())
            .env("HOME", self.home.path())
            .env("MOCK_KEY", "k")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(PROMPT.as_bytes()).await.unwrap();
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("turn.completed"),
            "{said}"
        );
    }

    /// What the model answers to one turn.
    fn script(&self) {
        self.model.then([Reply::shell("echo hi"), Reply::done()]);
    }

    /// Ends the export. `turns` turns and as many tools have to be with the receiver.
    pub(crate) fn check_books(&self, turns: u64) {
        self.sink.shutdown(PATIENCE).unwrap();
        let stats = self.sink.stats();
        assert_eq!(stats.of(Signal::Traces).exported, 2 * turns, "{stats}");
        assert_eq!(stats.of(Signal::Traces).dropped, 0, "{stats}");
        assert_ne!(self.model.received("/v1/traces").len(), 0);
        println!("real_turn: {stats}");
    }
}
