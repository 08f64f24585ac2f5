//! A dropped turn leaves no process.
#![cfg(target_os = "linux")]

use codex_telemetry::{
    ErrorClass, EventKind, Operation, Outcome,
    turn::{Sandbox, TurnRequest},
};
use tower::ServiceExt;

use crate::{
    bench::{Bench, comes_true, until},
    processes::{exists, odd_duration, of_home, running},
    reply::{Ending, Reply, Tokens},
};

impl Bench {
    /// Runs a turn until a condition holds, and drops it.
    pub(crate) async fn drop_when(
        &self,
        what: &str,
        request: TurnRequest,
        condition: impl FnMut() -> bool,
    ) {
        let turn = self.layered(self.turns().build()).oneshot(request);
        tokio::select! {
            result = turn => panic!("the turn ended by itself: {result:?}"),
            () = until(what, condition) => {}
        }
    }

    /// Waits until the turn has no process left; of Codex itself not even a zombie.
    pub(crate) async fn assert_gone(&self, marker: &str, codex: Option<u32>) {
        let left = || {
            let mut left = running(marker);
            left.extend(of_home(self.home.path()));
            left
        };
        let is_gone = || left().is_empty() && !codex.is_some_and(exists);
        if !comes_true(is_gone).await {
            panic!("left of the turn (Codex was {codex:?}): {:#?}", left());
        }
    }

    /// Returns the process of Codex itself, a child of this process.
    pub(crate) fn codex(&self) -> Option<u32> {
        let processes = of_home(self.home.path());
        let codex = processes.iter().find(|process| {
            let line = &process.command_line;
            line.contains(" exec --json") || line.trim_end().ends_with(" app-server")
        });
        codex.map(|process| process.pid)
    }

    fn assert_cancelled(&self) {
        let calls = self.calls(1);
        for event in [calls.turn(), calls.tool()] {
            assert_eq!(event.kind(), EventKind::Exception);
            assert_eq!(event.outcome(), Some(Outcome::Cancelled), "{event:?}");
            assert_eq!(event.error_class(), Some(ErrorClass::Cancelled));
        }
        assert!(calls.turn().thread_id().is_some());
        assert!(calls.tool().duration() <= calls.turn().duration());
    }
}

/// Drops a turn while it runs `command`, which has at least `count` processes with `marker`.
async fn cancel_during(command: &str, marker: &str, count: usize, sandbox: Sandbox) {
    let Some(bench) = Bench::start([Reply::shell(command)]) else {
        return;
    };
    let request = bench.request("Go").with_sandbox(sandbox);
    let mut codex = None;
    bench
        .drop_when("the command runs", request, || {
            let events = bench.sink.events();
            let has_tool = events
                .iter()
                .any(|event| event.operation() == Operation::Tool);
            let sleeping = running(marker);
            let sleeping = sleeping
                .iter()
                .filter(|p| p.command_line.starts_with("sleep"));
            codex = bench.codex();
            has_tool && sleeping.count() >= count
        })
        .await;
    assert!(codex.is_some(), "Codex is not running");
    bench.assert_cancelled();
    bench.assert_gone(marker, codex).await;
}

#[tokio::test]
async fn a_dropped_turn_is_cancelled_and_leaves_no_process() {
    let marker = odd_duration();
    cancel_during(
        &format!("sleep {marker}"),
        &marker,
        1,
        Sandbox::DangerFullAccess,
    )
    .await;
}

#[tokio::test]
async fn a_dropped_turn_leaves_no_process_that_ignores_signals() {
    let marker = odd_duration();
    let command = format!("trap '' INT TERM HUP; sleep {marker} & sleep {marker}");
    cancel_during(&command, &marker, 2, Sandbox::DangerFullAccess).await;
}

#[tokio::test]
async fn a_dropped_turn_leaves_no_process_in_its_own_session() {
    let marker = odd_duration();
    let command = format!("setsid sleep {marker} & sleep {marker}");
    cancel_during(&command, &marker, 2, Sandbox::DangerFullAccess).await;
}

#[tokio::test]
async fn a_dropped_turn_leaves_no_process_in_the_sandbox() {
    if !crate::tools::sandbox_works().await {
        return;
    }
    let marker = odd_duration();
    let command = format!("trap '' INT TERM HUP; sleep {marker} & sleep {marker}");
    cancel_during(&command, &marker, 2, Sandbox::ReadOnly).await;
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_the_model_thinks_leaves_no_process() {
    let Some(bench) = Bench::start([Reply::unfinished(Ending::Silence)]) else {
        return;
    };
    let mut codex = None;
    bench
        .drop_when("the model was asked", bench.request("Go"), || {
            codex = bench.codex();
            !bench.model.asked().is_empty()
        })
        .await;
    assert!(codex.is_some(), "Codex is not running");
    let calls = bench.calls(1);
    assert_eq!(calls.turn().outcome(), Some(Outcome::Cancelled));
    assert!(calls.tools.is_empty());
    bench.assert_gone("no command", codex).await;
}

#[tokio::test]
async fn a_turn_that_is_dropped_at_once_leaves_no_process() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let mut codex = None;
    bench
        .drop_when("Codex runs", bench.request("Go"), || {
            codex = of_home(bench.home.path())
                .first()
                .map(|process| process.pid);
            codex.is_some()
        })
        .await;
    assert_eq!(bench.calls(1).turn().outcome(), Some(Outcome::Cancelled));
    bench.assert_gone("no command", codex).await;
}

#[tokio::test]
async fn a_thread_with_a_dropped_turn_can_be_resumed() {
    let marker = odd_duration();
    let sleep = format!("sleep {marker}");
    let script = [
        Reply::done(),
        Reply::shell(&sleep),
        Reply::message("on", Tokens::FEW.times(7)),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let first = bench.run(bench.request("Go")).await.unwrap();
    let resume = || {
        bench
            .request("On")
            .with_resume(first.thread_id.clone().unwrap())
    };
    bench
        .drop_when("the command runs", resume(), || {
            !running(&marker).is_empty()
        })
        .await;
    bench.assert_gone(&marker, None).await;
    let third = bench.run(resume()).await.unwrap();
    assert_eq!(third.thread_id, first.thread_id);
    assert_eq!(third.usage.unwrap().input_tokens, 70);
    bench.calls(3);
}
