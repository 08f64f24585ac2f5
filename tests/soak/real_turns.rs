//! Turns of the real Codex, each with a model server of its own on loopback.

use std::{collections::BTreeMap, fmt, time::Duration};

use codex_telemetry::{
    BoxError, CodexClassifier, Originator, Outcome, ServiceBuilderExt, Sink,
    turn::{CodexExec, Turn, TurnRequest},
};
use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::{
    binary,
    isolated::isolated_request,
    model::Model,
    processes,
    reply::{Ending, Reply},
    resources::{TIMEOUT, comes_true, file_tag, until},
};

/// How a turn goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Answer,
    Command,
    /// A command leaves a process behind that nobody waits for.
    BackgroundProcess,
    RateLimit,
    ServerError,
    /// The model hangs, and the caller cancels.
    Cancelled,
    /// The model hangs, and a timeout of the caller's stack ends the turn, at any moment of it.
    Timeout,
    /// Codex is killed by SIGKILL during a command.
    Killed,
}

/// The real turns of a load, each with its timeout.
#[derive(Default)]
pub(crate) struct RealTurns(Vec<(Kind, Duration)>);

/// The directories and the model of one turn.
struct Rig {
    model: Model,
    home: TempDir,
    work: TempDir,
}

// === impl Kind ===

impl Kind {
    const ALL: [Self; 8] = [
        Self::Answer,
        Self::Command,
        Self::BackgroundProcess,
        Self::RateLimit,
        Self::ServerError,
        Self::Cancelled,
        Self::Timeout,
        Self::Killed,
    ];

    pub(crate) const fn expected(self) -> Outcome {
        match self {
            Self::Answer | Self::Command | Self::BackgroundProcess => Outcome::Ok,
            Self::RateLimit | Self::ServerError | Self::Timeout | Self::Killed => Outcome::Error,
            Self::Cancelled => Outcome::Cancelled,
        }
    }

    fn script(self) -> Vec<Reply> {
        // Commands say in a file that they run, because a file is found sooner than a process.
        let command = |command: &str| Reply::shell(&format!("touch started; {command}"));
        match self {
            Self::Answer => vec![Reply::done()],
            Self::Command => vec![command("echo hi"), Reply::done()],
            Self::BackgroundProcess => vec![command("setsid sleep 1000 &"), Reply::done()],
            Self::RateLimit => vec![Reply::error(429, "rate_limit_exceeded", "slow down")],
            Self::ServerError => vec![Reply::status(500, "{}")],
            Self::Cancelled | Self::Timeout => vec![Reply::unfinished(Ending::Silence)],
            Self::Killed => vec![command("setsid sleep 1000 & sleep 1000")],
        }
    }

    const fn has_command(self) -> bool {
        matches!(self, Self::Command | Self::BackgroundProcess | Self::Killed)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer => "answer",
            Self::Command => "command",
            Self::BackgroundProcess => "process left behind",
            Self::RateLimit => "429",
            Self::ServerError => "500",
            Self::Cancelled => "caller cancels",
            Self::Timeout => "caller's timeout",
            Self::Killed => "Codex killed",
        })
    }
}

// === impl RealTurns ===

impl RealTurns {
    /// Returns two loads that together have a turn of each kind; empty ones without a Codex.
    pub(crate) fn two_halves(rng: &mut Rng) -> [Self; 2] {
        if binary::codex().is_none() {
            return Default::default();
        }
        let mut kinds = Kind::ALL;
        rng.shuffle(&mut kinds);
        let (first, second) = kinds.split_at(kinds.len() / 2);
        [first, second].map(|kinds| {
            let with_timeout = |kind: &Kind| match kind {
                Kind::Timeout => (*kind, Duration::from_millis(rng.u64(..2000))),
                _ => (*kind, TIMEOUT),
            };
            Self(kinds.iter().map(with_timeout).collect())
        })
    }

    /// Runs all turns at once, and checks the outcomes that their callers see. Returns their numbers.
    pub(crate) async fn run(&self, sink: &(impl Sink + Clone + 'static)) -> BTreeMap<Kind, u64> {
        let mut done = BTreeMap::new();
        let Some(codex) = binary::codex() else {
            return done;
        };
        let service = CodexExec::builder()
            .codex(codex)
            .skip_git_repo_check(true)
            .build();
        let mut turns = JoinSet::new();
        for (kind, timeout) in self.0.iter().copied() {
            let stack = ServiceBuilder::new()
                .originator(Originator::Sdk)
                .timing(sink.clone())
                .error_class(CodexClassifier)
                .timeout(timeout)
                .service(service.clone());
            turns.spawn(async move { (kind, run(kind, stack).await) });
        }
        while let Some(turn) = turns.join_next().await {
            let (kind, outcome) = turn.unwrap();
            assert_eq!(outcome, kind.expected(), "{kind}");
            *done.entry(kind).or_default() += 1;
        }
        done
    }
}

/// Runs a turn, and waits until none of its processes is left.
async fn run(
    kind: Kind,
    stack: impl Service<TurnRequest, Response = Turn, Error = BoxError, Future: Send> + Send + 'static,
) -> Outcome {
    let rig = Rig::start(kind);
    let turn = tokio::spawn(stack.oneshot(rig.request()));
    match kind {
        Kind::Cancelled => {
            until("the model was asked", || !rig.model.asked().is_empty()).await;
            turn.abort();
        }
        Kind::Killed => {
            until("the command runs", || rig.has_started()).await;
            rig.kill_codex();
        }
        _ => {}
    }
    let outcome = match turn.await {
        Ok(Ok(_)) => Outcome::Ok,
        Ok(Err(_)) => Outcome::Error,
        Err(error) if error.is_cancelled() => Outcome::Cancelled,
        Err(_) => Outcome::Panic,
    };
    assert!(rig.has_started() || !kind.has_command(), "no command ran");
    let left = || processes::of_home(rig.home.path());
    let is_gone = comes_true(|| left().is_empty()).await;
    assert!(is_gone, "left of \"{kind}\": {:#?}", left());
    outcome
}

// === impl Rig ===

impl Rig {
    fn start(kind: Kind) -> Self {
        let directory = |name| tempfile::Builder::new().prefix(name).tempdir().unwrap();
        Self {
            model: Model::start(kind.script()),
            home: directory("codex-home-"),
            work: directory("codex-work-"),
        }
    }

    /// Returns a request with a file for the output schema, by which a file that is left is found.
    fn request(&self) -> TurnRequest {
        let (home, work) = (self.home.path(), self.work.path());
        isolated_request(&self.model.url("/v1"), home, work, "Go")
            .with_env("TMPDIR", work)
            .with_output_schema(json!({"description": file_tag()}))
    }

    fn has_started(&self) -> bool {
        self.work.path().join("started").exists()
    }

    fn kill_codex(&self) {
        let processes = processes::of_home(self.home.path());
        let mut codex = processes
            .iter()
            .filter(|process| process.command_line.contains(" exec --json"));
        let pid = codex.next().expect("Codex runs").pid.cast_signed();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            processes::kill_left_over(self.home.path());
        }
    }
}
