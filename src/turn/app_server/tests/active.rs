//! Turns that are active, as a view of them shows them.

use std::convert::Infallible;

use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;

use super::{A, asking, prompt, settle};
use crate::{
    approval::{ApprovalRequest, Decision},
    event::{Operation, Phase},
    sink::{ActiveCall, ActiveCalls},
    timing::TimingLayer,
    turn::{
        Turn, TurnError,
        app_server::peer::{Options, Peer},
    },
};

/// Runs a turn, and returns what has its questions answered.
fn run(
    peer: &Peer,
    active: &ActiveCalls,
) -> (JoinHandle<Result<Turn, TurnError>>, watch::Sender<bool>) {
    let (answer, answered) = watch::channel(false);
    let approver = service_fn(move |_: ApprovalRequest| {
        let mut answered = answered.clone();
        async move {
            let answer = answered.wait_for(|is_answered| *is_answered).await;
            answer.expect("the test answers");
            Ok::<_, Infallible>(Decision::Accept)
        }
    });
    let turns = TimingLayer::new(active.clone()).layer(asking(peer, approver));
    (tokio::spawn(turns.oneshot(prompt())), answer)
}

async fn ask(peer: &mut Peer) {
    let question =
        json!({"threadId": A, "turnId": "1", "itemId": "c1", "startedAtMs": 1, "command": "ls"});
    peer.put(7, "item/commandExecution/requestApproval", question)
        .await;
}

/// Returns the turn, which is the oldest call.
async fn shown(active: &ActiveCalls) -> ActiveCall {
    settle().await;
    let turn = active.snapshot().remove(0);
    assert_eq!(turn.operation, Operation::Turn);
    turn
}

#[tokio::test(start_paused = true)]
async fn an_active_turn_shows_its_thread_its_turn_and_its_phase_as_they_are_known_now() {
    let mut peer = Peer::connect(&Options::default());
    let active = ActiveCalls::new();
    let (turn, answer) = run(&peer, &active);
    let load = peer.request("thread/start").await;
    let loading = shown(&active).await;
    assert_eq!(loading.phase, Some(Phase::Startup));
    assert_eq!((loading.thread_id, loading.turn_id), (None, None));

    peer.answer(&load, json!({"thread": {"id": A}})).await;
    peer.begin_loaded(A, "1").await;
    let prompt = json!({"item": {"type": "userMessage", "id": "u1", "content": []}});
    peer.tell("item/started", A, "1", prompt).await;
    let running = shown(&active).await;
    assert_eq!(running.phase, Some(Phase::Model));
    assert_eq!(running.thread_id.as_deref(), Some(A));
    assert_eq!(running.turn_id.as_deref(), Some("1"));

    let item = json!({"item": {"type": "commandExecution", "id": "c1", "command": "ls"}});
    peer.tell("item/started", A, "1", item).await;
    assert_eq!(shown(&active).await.phase, Some(Phase::Tools));

    ask(&mut peer).await;
    assert_eq!(shown(&active).await.phase, Some(Phase::Approval));
    let calls = active.snapshot();
    let tool = calls.iter().find(|it| it.operation == Operation::Tool);
    assert_eq!(tool.unwrap().turn_id.as_deref(), Some("1"));
    let table = active.to_string();
    assert!(table.contains("  approval  attempt=1 "), "{table}");

    answer.send(true).unwrap();
    peer.answered().await;
    assert_eq!(shown(&active).await.phase, Some(Phase::Tools));
    peer.end(A, "1", "completed").await;
    turn.await.unwrap().unwrap();
    assert_eq!(active.snapshot(), []);
}

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn the_warning_of_a_turn_says_that_it_waits_for_an_approval() {
    use std::{fs, fs::File, sync::Arc, time::Duration};

    const THRESHOLD: Duration = Duration::from_secs(30);

    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(Arc::new(File::create(&log).unwrap()));
    let _guard = tracing::subscriber::set_default(subscriber.finish());

    let mut peer = Peer::connect(&Options::default());
    let active = ActiveCalls::new();
    tokio::spawn(active.warn_after(THRESHOLD));
    let (turn, answer) = run(&peer, &active);
    peer.begin(A, "1").await;
    ask(&mut peer).await;
    tokio::time::sleep(THRESHOLD + Duration::from_secs(5)).await;
    answer.send(true).unwrap();
    peer.answered().await;
    peer.end(A, "1", "completed").await;
    turn.await.unwrap().unwrap();

    let log = fs::read_to_string(log).unwrap();
    let of_turn: Vec<_> = log
        .lines()
        .filter(|line| line.contains("operation=\"codex.turn\""))
        .collect();
    assert_eq!(of_turn.len(), 1, "{log}");
    let thread = format!("thread_id=\"{A}\"");
    for field in ["phase=\"approval\"", &thread, "turn_id=\"1\""] {
        assert!(of_turn[0].contains(field), "{field}: {log}");
    }
}
