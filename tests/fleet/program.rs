//! One program of the fleet: this test binary again, as a child process.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
    time::Duration,
};

use codex_telemetry::{
    Call, CallContext, CodexClassifier, Operation, Originator, ServiceBuilderExt as _, Sink,
    ToolCall, ToolError, ToolService, ToolSpec, event::names, otlp, tool_fn,
};
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

use crate::{checked::Checked, receiver::Receiver};

pub(crate) const PROGRAMS: u64 = 8;
/// The tools of each turn.
pub(crate) const TOOLS: u64 = 6;
/// The tokens of each turn.
pub(crate) const INPUT_TOKENS: u64 = 1200;
pub(crate) const OUTPUT_TOKENS: u64 = 34;

/// The number of a program, in its environment.
const NUMBER: &str = "FLEET_PROGRAM";
/// What a program writes when it has exported the first half of its turns.
const HALF: &str = "half";
/// A time limit that no program reaches, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Programs that run at once.
pub(crate) struct Fleet(Vec<Child>);

/// Returns how many turns a program makes in each half. No two programs make the same number.
fn turns(number: u64) -> u64 {
    number + 1
}

/// Returns the turns of all programs.
pub(crate) fn all_turns() -> u64 {
    2 * (0..PROGRAMS).map(turns).sum::<u64>()
}

// === impl Fleet ===

impl Fleet {
    /// Starts programs that wait. With a name, each has a fixed instance id.
    pub(crate) fn start(receiver: &Receiver, temporality: &str, instance: Option<&str>) -> Self {
        let start = |number: u64| {
            let mut command = Command::new(env::current_exe().unwrap());
            command
                .args([
                    "--exact",
                    "program::a_program_makes_its_turns",
                    "--nocapture",
                ])
                .env_clear()
                .env(NUMBER, number.to_string())
                .env("CODEX_OTLP_ENDPOINT", receiver.endpoint())
                .env("OTEL_SERVICE_NAME", "release-bot")
                .env(
                    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
                    temporality,
                )
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            if let Some(name) = instance {
                let attributes = format!("service.instance.id={name}-{number}");
                command.env("OTEL_RESOURCE_ATTRIBUTES", attributes);
            }
            command.spawn().unwrap()
        };
        Self((0..PROGRAMS).map(start).collect())
    }

    /// Lets all programs make the first half of their turns at once, then the second, and waits for their
    /// end. So the exports of each program come between those of others.
    pub(crate) fn run(mut self) {
        let mut outputs: Vec<_> = self
            .0
            .iter_mut()
            .map(|program| BufReader::new(program.stdout.take().unwrap()))
            .collect();
        self.release();
        for output in &mut outputs {
            let mut lines = output.by_ref().lines().map(Result::unwrap);
            assert!(lines.any(|line| line == HALF), "a program failed");
        }
        self.release();
        for (program, output) in self.0.iter_mut().zip(&mut outputs) {
            let mut rest = String::new();
            output.read_to_string(&mut rest).unwrap();
            assert!(program.wait().unwrap().success(), "{rest}");
        }
    }

    fn release(&mut self) {
        for program in &mut self.0 {
            program.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        }
    }
}

/// Waits until the fleet is released.
fn wait() {
    let mut line = String::new();
    io::stdin().read_line(&mut line).unwrap();
}

/// Makes a turn with its tools, through the layers.
async fn turn(sink: impl Sink + Clone + 'static) {
    let echo = tool_fn(|value: Value, _: CallContext| async move { Ok::<_, ToolError>(value) });
    let tools = ServiceBuilder::new()
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(
            ToolService::builder()
                .tool(ToolSpec::new("echo", "A tool of the tests"), echo)
                .build()
                .unwrap(),
        );
    let agent = service_fn(async |call: Call<()>| {
        for _ in 0..TOOLS {
            let call = ToolCall::new("echo", json!(1)).with_context(call.context.child());
            tools.clone().oneshot(call).await?;
        }
        let count = |count: u64| i64::try_from(count).unwrap();
        call.context
            .record(names::INPUT_TOKENS, count(INPUT_TOKENS));
        call.context
            .record(names::OUTPUT_TOKENS, count(OUTPUT_TOKENS));
        call.context.record(names::TOOL_CALLS, count(TOOLS));
        Ok::<_, ToolError>(())
    });
    let agent = ServiceBuilder::new()
        .originator(Originator::Sdk)
        .timing(sink)
        .error_class(CodexClassifier)
        .service(agent);
    let call = Call::new(Operation::Turn, ()).with_name("reviewer");
    agent.oneshot(call).await.unwrap();
}

/// Not a test, unless a fleet has started it.
#[tokio::test]
async fn a_program_makes_its_turns() {
    let Ok(number) = env::var(NUMBER) else {
        return;
    };
    let turns = turns(number.parse().unwrap());
    let sink = otlp::from_env().expect("the fleet sets an endpoint");
    let checked = Checked::over(sink.clone());
    wait();
    for _ in 0..turns {
        turn(checked.clone()).await;
    }
    sink.blocking_flush(PATIENCE).unwrap();
    println!("{HALF}");
    wait();
    for _ in 0..turns {
        turn(checked.clone()).await;
    }
    sink.blocking_shutdown(PATIENCE).unwrap();
}
