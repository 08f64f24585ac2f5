//! A service that is stopped lets Codex write down what the turn has used; one that is drained has no process.
#![cfg(target_os = "linux")]

use std::{fs, path::PathBuf, time::Duration};

use codex_telemetry::{
    ErrorClass, Operation, Outcome,
    turn::{CodexExec, TurnError, TurnRequest},
};
use serde_json::Value;
use tower::ServiceExt;

use crate::{
    bench::{Bench, DEADLINE, in_time, until},
    processes::{exists, odd_duration, of_home, running},
    reply::{Ending, Reply, Tokens},
};

impl Bench {
    /// Returns the input tokens of the last total in the file of the only thread.
    fn written_input_tokens(&self) -> Option<u64> {
        let text = fs::read_to_string(self.rollout()?).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let mut totals = lines.filter_map(|line: Value| {
            let total = line.pointer("/payload/info/total_token_usage/input_tokens");
            total.and_then(Value::as_u64)
        });
        totals.next_back()
    }

    fn rollout(&self) -> Option<PathBuf> {
        let mut directories = vec![self.home.path().join("sessions")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).ok()?.flatten() {
                let path = entry.path();
                match path.is_dir() {
                    true => directories.push(path),
                    false => return Some(path),
                }
            }
        }
        None
    }

    /// Runs a turn until a condition holds, and stops the service then. Fails unless the turn fails as stopped,
    /// long before the grace period is over, and nothing is left of it.
    async fn stop_when(
        &self,
        what: &str,
        marker: &str,
        request: TurnRequest,
        condition: impl FnMut() -> bool,
    ) {
        let turns = self.turns().build();
        let stop = async {
            until(what, condition).await;
            let codex = self.codex().expect("Codex is not running");
            turns.shutdown(Duration::MAX).await;
            assert!(!exists(codex) && running(marker).is_empty());
            assert!(of_home(self.home.path()).is_empty());
        };
        let turn = self.layered(turns.clone()).oneshot(request);
        let (turn, ()) = in_time(async { tokio::join!(turn, stop) }).await;
        assert!(matches!(turn, Err(TurnError::Stopped)), "{turn:?}");
        let calls = self.calls(1);
        assert_eq!(calls.turn().outcome(), Some(Outcome::Error));
        assert_eq!(calls.turn().error_class(), Some(ErrorClass::Interrupted));
    }

    /// Fails unless the file of the thread has the usage of one request, and a turn that resumes it has its own.
    async fn assert_written(&self) {
        assert_eq!(self.written_input_tokens(), Some(Tokens::FEW.input));
        let calls = self.calls(1);
        let thread = calls.turn().thread_id().unwrap();
        let resume = self.request("On").with_resume(thread);
        let turn = self.run(resume).await.unwrap();
        assert_eq!(turn.usage.unwrap().input_tokens, 7 * Tokens::FEW.input);
    }

    fn has_tool(&self) -> bool {
        let events = self.sink.events();
        let mut operations = events.iter().map(codex_telemetry::Event::operation);
        operations.any(|operation| operation == Operation::Tool)
    }
}

fn next() -> Reply {
    Reply::message("on", Tokens::FEW.times(7))
}

#[tokio::test]
async fn codex_that_is_stopped_while_a_command_runs_writes_down_its_usage() {
    let marker = odd_duration();
    let command = format!("setsid sleep {marker} & sleep {marker}");
    let Some(bench) = Bench::start([Reply::shell(&command), next()]) else {
        return;
    };
    let request = bench.request("Go");
    let runs = || bench.has_tool() && running(&marker).len() >= 2;
    bench
        .stop_when("the command runs", &marker, request, runs)
        .await;
    bench.assert_written().await;
}

#[tokio::test]
async fn codex_that_is_stopped_while_the_model_thinks_writes_down_its_usage() {
    let script = [
        Reply::shell("true"),
        Reply::unfinished(Ending::Silence),
        next(),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let request = bench.request("Go");
    let was_asked = || bench.model.asked().len() == 2;
    bench
        .stop_when("the model was asked", "no command", request, was_asked)
        .await;
    bench.assert_written().await;
}

#[tokio::test]
async fn a_drained_service_has_no_process_of_a_dropped_turn() {
    let marker = odd_duration();
    let command =
        format!("trap '' INT TERM HUP; setsid sleep {marker} & sleep {marker} & sleep {marker}");
    let Some(bench) = Bench::start([Reply::shell(&command)]) else {
        return;
    };
    let turns: CodexExec = bench.turns().build();
    let mut codex = None;
    let turn = bench.layered(turns.clone()).oneshot(bench.request("Go"));
    tokio::select! {
        turn = turn => panic!("the turn ended by itself: {turn:?}"),
        () = until("the command runs", || {
            codex = bench.codex();
            running(&marker).len() >= 4
        }) => {}
    }
    let drained = tokio::time::timeout(DEADLINE, turns.drain()).await.unwrap();
    assert!(drained.orphans.is_empty(), "{drained:?}");
    assert!(!exists(codex.unwrap()));
    assert!(running(&marker).is_empty() && of_home(bench.home.path()).is_empty());
    assert_eq!(bench.calls(1).turn().outcome(), Some(Outcome::Cancelled));
}
