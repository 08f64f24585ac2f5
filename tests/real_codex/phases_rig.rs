//! What the tests of phases hold, and what they look at.
#![cfg(unix)]

use std::{
    fs,
    future::Future,
    path::Path,
    time::{Duration, Instant},
};

use codex_telemetry::{
    Event, Operation, Phase, Phases,
    turn::{Item, ItemKind, Progress, Turn, TurnRequest},
};
use tokio::sync::mpsc;

use crate::{
    app_server::{AppServer, Transport},
    bench::{Bench, in_time, until},
    calls::assert_ok,
    gate::Gate,
};

/// How long a test holds what a turn waits for.
pub(crate) const HOLD: Duration = Duration::from_secs(1);

/// Holds what a turn waits for, and returns how long the turn has waited at least.
pub(crate) async fn hold() -> Duration {
    hold_for(HOLD).await
}

pub(crate) async fn hold_for(time: Duration) -> Duration {
    // On a busy machine, the turn may still have to read what Codex has told.
    tokio::time::sleep(time / 10).await;
    let began = Instant::now();
    tokio::time::sleep(time).await;
    began.elapsed()
}

/// Returns a command that runs until the test [lets it go on](Bench::let_go).
pub(crate) fn until_let_go(name: &str) -> String {
    format!("until [ -e {name} ]; do sleep 0.05; done")
}

impl Bench {
    /// Lets what waits for a name go on.
    pub(crate) fn let_go(&self, name: &str) {
        fs::write(self.work.path().join(name), "").unwrap();
    }

    /// Returns the phases of a turn that completed, the only one, after a comparison with those of its event.
    pub(crate) fn phases(&self, turn: &Turn) -> Phases {
        let calls = self.calls(1);
        assert_ok(calls.turn());
        phases_of(turn, calls.turn())
    }
}

/// Returns the phases of a turn that completed, after a comparison with those of its event.
pub(crate) fn phases_of(turn: &Turn, event: &Event) -> Phases {
    let whole = event.phases().unwrap();
    assert!(turn.phases.total() <= event.duration().unwrap());
    for (phase, duration) in turn.phases.iter() {
        // The layers end after the service.
        let is_same = match phase {
            Phase::Other => Some(duration) <= whole.get(phase),
            _ => Some(duration) == whole.get(phase),
        };
        assert!(is_same, "{phase:?}: {:?}, but {whole:?}", turn.phases);
    }
    assert_eq!(turn.phases.changes(), whole.changes());
    assert_eq!(
        turn.phases.time_to_first_token(),
        whole.time_to_first_token()
    );
    whole.clone()
}

/// Returns the phases of a turn in their order.
pub(crate) fn order(phases: &Phases) -> Vec<Phase> {
    phases.changes().iter().map(|(_, phase)| *phase).collect()
}

#[track_caller]
pub(crate) fn assert_held(phases: &Phases, phase: Phase, held: Duration) {
    let spent = phases.get(phase);
    assert!(spent >= Some(held), "{phase:?} for {held:?}: {phases:?}");
}

/// What a turn tells while it runs.
pub(crate) struct Watch(mpsc::Receiver<Progress>);

// === impl Watch ===

impl Watch {
    pub(crate) fn new() -> (mpsc::Sender<Progress>, Self) {
        let (sender, receiver) = mpsc::channel(256);
        (sender, Self(receiver))
    }

    /// Waits until Codex has started the turn.
    pub(crate) async fn turn_started(&mut self) {
        self.see(|progress| matches!(progress, Progress::TurnStarted))
            .await;
    }

    /// Waits until a command, an edit or a call of a server has started.
    pub(crate) async fn tool_started(&mut self) {
        let is_tool = |kind: &ItemKind| {
            matches!(
                kind,
                ItemKind::CommandExecution { .. }
                    | ItemKind::McpToolCall { .. }
                    | ItemKind::DynamicToolCall { .. }
            )
        };
        self.see(|progress| {
            matches!(progress, Progress::ItemStarted(Item { kind, .. }) if is_tool(kind))
        })
        .await;
    }

    /// Waits until a command has ended.
    pub(crate) async fn tool_completed(&mut self) {
        self.see(|progress| {
            let Progress::ItemCompleted(Item { kind, .. }) = progress else {
                return false;
            };
            matches!(kind, ItemKind::CommandExecution { .. })
        })
        .await;
    }

    /// Waits until the model has written a part of its message.
    pub(crate) async fn message_begun(&mut self) {
        self.see(|progress| matches!(progress, Progress::MessageDelta { .. }))
            .await;
    }

    /// Waits until Codex tries again.
    pub(crate) async fn retrying(&mut self) {
        self.see(|progress| matches!(progress, Progress::Retrying { .. }))
            .await;
    }

    /// Holds the model, which a gate does not let answer, once Codex has asked it.
    pub(crate) async fn hold_model(&mut self, gate: &Gate) -> Duration {
        self.turn_started().await;
        gate.reached().await;
        hold().await
    }

    /// Holds a command, or another tool, once it has started.
    pub(crate) async fn hold_command(&mut self) -> Duration {
        self.tool_started().await;
        hold().await
    }

    async fn see(&mut self, is_wanted: impl Fn(&Progress) -> bool) {
        in_time(async {
            loop {
                let progress = self.0.recv().await.expect("the turn ended before");
                if is_wanted(&progress) {
                    return;
                }
            }
        })
        .await;
    }
}

// === impl Bench ===

impl Bench {
    /// Returns commands that wait until the test [lets them go on](Self::let_go) by a name.
    pub(crate) fn wait_for(&self, name: &str) -> String {
        let directory = self.work.path().display();
        format!(
            "touch '{directory}/{name}-waits'; until [ -e '{directory}/{name}' ]; do sleep 0.05; done"
        )
    }

    /// Waits until those commands run.
    pub(crate) async fn waits(&self, name: &str) {
        let path = self.work.path().join(format!("{name}-waits"));
        until("it waits", || Path::exists(&path)).await;
    }

    /// Waits until a number of turns have begun.
    pub(crate) async fn begun(&self, turns: usize) {
        until("the turns have begun", || {
            let events = self.sink.events();
            let starts = events.iter().filter(|event| {
                event.operation() == Operation::Turn && !event.kind().is_terminal()
            });
            starts.count() == turns
        })
        .await;
    }
}

impl Bench {
    /// Runs a turn until a test has held it, and drops it.
    pub(crate) async fn drop_on(
        &self,
        transport: Transport,
        request: TurnRequest,
        holds: impl Future<Output = Duration>,
    ) -> Duration {
        self.drop_by(transport, self.codex, request, holds).await
    }

    /// As [`drop_on`](Self::drop_on), with another binary, which waits until the test lets it go on.
    pub(crate) async fn drop_by(
        &self,
        transport: Transport,
        codex: &Path,
        request: TurnRequest,
        holds: impl Future<Output = Duration>,
    ) -> Duration {
        match transport {
            Transport::Exec => {
                let turns = self.turns().codex(codex).build();
                tokio::select! {
                    result = self.run_by(turns, request) => panic!("the turn ended by itself: {result:?}"),
                    held = in_time(holds) => held,
                }
            }
            Transport::AppServer => {
                let (server, request) =
                    self.app_server_of_with(&request, |builder| builder.codex(codex));
                let held = server.drop_held(request, holds).await;
                self.let_go("go");
                server.end().await;
                held
            }
        }
    }
}

impl AppServer<'_> {
    /// Runs a turn until a test has held it, and drops it.
    pub(crate) async fn drop_held(
        &self,
        request: TurnRequest,
        holds: impl Future<Output = Duration>,
    ) -> Duration {
        tokio::select! {
            result = self.run(request) => panic!("the turn ended by itself: {result:?}"),
            held = in_time(holds) => held,
        }
    }
}
