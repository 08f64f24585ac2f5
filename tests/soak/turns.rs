//! Turns of a fake Codex that succeeds, fails, crashes, hangs or leaves processes behind.

use std::{fs::File, path::PathBuf, process::Command, time::Duration};

use codex_telemetry::{
    CodexClassifier, Originator, ServiceBuilderExt, Sink,
    turn::{CodexExec, TurnRequest},
};
use fastrand::Rng;
use serde_json::json;
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    calls::{Caller, Calls, Gate},
    resources::{self, file_tag},
};

/// The scripts of the fake Codex, and whether each ends by itself.
const SCRIPTS: &[(&str, bool)] = &[
    ("good", true),
    ("good; sleep 1000", true),
    ("sleep 1000 & good", true),
    ("tool started; tool completed; good", true),
    // A tool that never ends.
    ("tool started; good", true),
    (
        r#"emit '{"type":"turn.failed","error":{"message":"rate limit exceeded"}}'; exit 1"#,
        true,
    ),
    ("echo 'no such thread' >&2; exit 3", true),
    ("tool started; kill -SEGV $$", true),
    ("emit 'no JSON'", true),
    ("exec >&- 2>&-; sleep 1000", true),
    // Exceeds the output limit.
    ("while :; do tool started; done", true),
    ("tool started; sleep 1000", false),
    (
        "trap '' INT TERM HUP; (sleep 1000 & sleep 1000) & wait",
        false,
    ),
    (
        "setsid sh -c 'sleep 1000 & sleep 1000' & tool started; wait",
        false,
    ),
];

/// Runs before each script: defines its functions, starts the turn and waits for the gate.
const PRELUDE: &str = r#"
emit() { echo "$1"; }
tool() {
    emit '{"type":"item.'"$1"'","item":{"id":"item_0","type":"command_execution","command":"x","aggregated_output":"","status":"in_progress"}}'
}
good() {
    emit '{"type":"thread.started","thread_id":"01a2021f-12be-7782-b2de-86dee0c040e2"}'
    emit '{"type":"turn.completed","usage":{"input_tokens":10,"output_tokens":5}}'
}
emit '{"type":"turn.started"}'
: < "$SOAK_GATE"
"#;

/// Holds all processes until all have started: opening a FIFO for reading blocks until it has a writer.
pub(crate) struct ProcessGate {
    directory: tempfile::TempDir,
}

impl ProcessGate {
    pub(crate) fn closed() -> Self {
        let gate = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let status = Command::new("mkfifo").arg(gate.path()).status().unwrap();
        assert!(status.success());
        gate
    }

    /// Opens the gate until the file is dropped.
    #[must_use]
    pub(crate) fn open(&self) -> File {
        // Opening for writing alone would block until there is a reader.
        let file = File::options().read(true).write(true).open(self.path());
        file.unwrap()
    }

    /// The path of the FIFO. It is in the environment of each process, and no other test has it.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("gate")
    }
}

impl Drop for ProcessGate {
    fn drop(&mut self) {
        // The processes of a failed test end.
        if std::thread::panicking() {
            resources::kill_tagged(&self.path().display().to_string());
        }
    }
}

pub(crate) fn begin(
    calls: &mut Calls,
    count: usize,
    sink: impl Sink + Clone + 'static,
    (gate, processes): (&Gate, &ProcessGate),
    rng: &mut Rng,
) {
    let codex = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/turn/fake-codex");
    let turns = CodexExec::builder()
        .codex(codex)
        .exit_grace(Duration::from_millis(300))
        .output_limit(100_000)
        .build();
    let turns = ServiceBuilder::new()
        .originator(Originator::Sdk)
        .timing(sink)
        .error_class(CodexClassifier)
        .service(turns);
    for _ in 0..count {
        let (script, ends) = *rng.choice(SCRIPTS).unwrap();
        let caller = if ends {
            Caller::any(rng)
        } else {
            Caller::impatient(rng)
        };
        let request = TurnRequest::new("a prompt")
            .with_env("FAKE_CODEX", format!("{PRELUDE}{script}"))
            .with_env("SOAK_GATE", processes.path())
            .with_output_schema(json!({"description": file_tag()}));
        calls.begin(caller, gate, turns.clone().oneshot(request));
    }
}
