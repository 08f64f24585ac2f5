//! The ends of a service and of its server, with turns that run, and servers that do not do what they are told.
#![cfg(target_os = "linux")]

use std::time::Duration;

use codex_telemetry::{ErrorClass, Operation, Outcome, turn::TurnError};
use tower::ServiceExt;

use crate::{
    app_server_cancel::{Stopped, run_until, runs, service},
    bench::{Bench, DEADLINE, in_time, until},
    calls::assert_ok,
    gate::Gate,
    processes::{exists, odd_duration, running},
    reply::{Reply, Tokens},
};

#[tokio::test]
async fn a_server_that_does_not_end_a_dropped_turn_is_given_up_and_its_other_turn_finishes() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    let (plum, pear) = (Gate::new(), Gate::new());
    bench
        .model
        .then_to("plum", [Reply::done(), Reply::done().held(&plum)]);
    bench
        .model
        .then_to("pear", [Reply::message("ripe", Tokens::FEW).held(&pear)]);
    let server = bench.app_server(|builder| builder.interrupt_timeout(Duration::from_millis(300)));
    let first = server.complete(bench.ask("A plum")).await;
    let pid = bench.server().unwrap();
    let drop_one = async {
        pear.reached().await;
        let stopped = async {
            plum.reached().await;
            Stopped::new(pid).await
        };
        // The server is stopped for as long as it takes to give it up.
        let mut stopped = std::pin::pin!(stopped);
        let mut held = None;
        let dropped = server.drop_at(bench.ask_on(&first, "Another"), async {
            held = Some((&mut stopped).await);
        });
        dropped.await;
        assert_eq!(server.turns.active(), 2);
        until("the server is given up", || server.turns.active() == 1).await;
        drop(held);
        // A turn of another thread does not wait for it.
        bench.model.then([Reply::message("new", Tokens::FEW)]);
        let new = server.complete(bench.ask("A new one")).await;
        assert_eq!(new.final_message.as_deref(), Some("new"));
        assert!(exists(pid), "the turn in the old server was not waited for");
        pear.open();
    };
    let (of_pear, ()) = tokio::join!(server.complete(bench.ask("A pear")), drop_one);
    assert_eq!(of_pear.final_message.as_deref(), Some("ripe"));
    until("the server is killed", || !exists(pid)).await;
    // The thread goes on in the other server.
    let other = bench.server().unwrap();
    let turn = server.assert_free(first.thread_id.as_deref(), other).await;
    assert_eq!(turn.thread_id, first.thread_id);
    server.end().await;
}

#[tokio::test]
async fn a_service_that_stops_ends_turns_that_nobody_polls() {
    let marker = odd_duration();
    let Some(bench) = Bench::start([]) else {
        return;
    };
    let plum = Gate::new();
    bench.model.then_to("plum", [Reply::done().held(&plum)]);
    let sleep = format!("sleep {marker}");
    bench.model.then_to("pear", [Reply::shell(&sleep)]);
    let server = bench.app_server(|builder| builder);
    let run = |prompt: &str| {
        bench
            .layered(server.turns.clone())
            .oneshot(bench.ask(prompt))
    };
    let thinks = run_until(run("A plum"), plum.reached()).await;
    let works = run_until(
        run("A pear"),
        until("the command runs", || {
            let mut events = bench.sink.events().into_iter();
            let has_call = events.any(|event| event.operation() == Operation::Tool);
            has_call && !running(&marker).is_empty()
        }),
    )
    .await;
    let drained = in_time(server.turns.shutdown(DEADLINE)).await;
    assert!(drained.orphans.is_empty(), "{drained:?}");
    assert!(!runs(bench.home.path()) && running(&marker).is_empty());
    // They were not given up: the server has ended them, and itself.
    for turn in [thinks, works] {
        let error = turn.await.unwrap_err();
        assert!(matches!(error, TurnError::Stopped), "{error:?}");
    }
    let calls = bench.calls(2);
    for turn in &calls.turns {
        assert_eq!(turn.error_class(), Some(ErrorClass::Interrupted));
    }
    let [command] = &calls.tools[..] else {
        panic!("{:?}", calls.tools);
    };
    assert_eq!(command.error_class(), Some(ErrorClass::Interrupted));
    assert_eq!(server.turns.active(), 0);
    server.end().await;
}

#[tokio::test]
async fn a_service_that_is_drained_waits_for_its_turn_and_ends_its_server() {
    let gate = Gate::new();
    let Some(bench) = Bench::start([Reply::done().held(&gate)]) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let drain = async {
        gate.reached().await;
        let mut drain = Box::pin(server.turns.drain());
        // It waits for as long as the turn does.
        assert!(futures_util::poll!(&mut drain).is_pending());
        gate.open();
        let drained = in_time(drain).await;
        assert!(drained.orphans.is_empty(), "{drained:?}");
    };
    let (turn, ()) = tokio::join!(server.complete(bench.ask("Go")), drain);
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    assert!(!runs(bench.home.path()));
    assert_ok(bench.calls(1).turn());
    // It is not stopped: the next turn starts a server.
    bench.model.then([Reply::done()]);
    server.complete(bench.ask_on(&turn, "Go on")).await;
    server.end().await;
}

#[tokio::test]
async fn a_service_that_is_drained_ends_an_idle_server_and_waits_for_nothing_without_one() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let drained = in_time(server.turns.drain()).await;
    assert!(drained.orphans.is_empty());
    server.complete(bench.ask("Go")).await;
    assert!(bench.server().is_some());
    in_time(server.turns.drain()).await;
    assert!(!runs(bench.home.path()));
    in_time(server.turns.drain()).await;
    server.end().await;
}

#[tokio::test]
async fn the_last_handle_ends_the_server_and_no_other_does() {
    let Some(bench) = Bench::start([Reply::done(), Reply::done()]) else {
        return;
    };
    let turns = service(&bench);
    in_time(bench.layered(turns.clone()).oneshot(bench.ask("Go")))
        .await
        .unwrap();
    let pid = bench.server().unwrap();
    let other = turns.clone();
    drop(turns);
    in_time(bench.layered(other.clone()).oneshot(bench.ask("Go")))
        .await
        .unwrap();
    assert_eq!(bench.server(), Some(pid));
    drop(other);
    until("the server has ended", || !runs(bench.home.path())).await;
}

#[tokio::test]
async fn a_turn_keeps_its_server_after_the_last_handle() {
    let gate = Gate::new();
    let Some(bench) = Bench::start([Reply::done().held(&gate)]) else {
        return;
    };
    let turns = service(&bench);
    let turn = run_until(
        bench.layered(turns.clone()).oneshot(bench.ask("Go")),
        gate.reached(),
    )
    .await;
    drop(turns);
    gate.open();
    in_time(turn).await.unwrap();
    until("the server has ended", || !runs(bench.home.path())).await;
}

#[test]
fn a_runtime_that_shuts_down_leaves_no_process() {
    let marker = odd_duration();
    let Some(bench) = Bench::start([Reply::shell(&format!("sleep {marker}"))]) else {
        return;
    };
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let turns = service(&bench);
    let first = runtime();
    let turn = bench.layered(turns.clone()).oneshot(bench.ask("Go"));
    let turn = first.spawn(turn);
    first.block_on(until("the command runs", || !running(&marker).is_empty()));
    first.shutdown_timeout(DEADLINE);
    let other = runtime();
    other.block_on(async {
        assert!(turn.await.unwrap_err().is_cancelled());
        let home = bench.home.path();
        until("the server is gone", || {
            !runs(home) && running(&marker).is_empty()
        })
        .await;
        assert_eq!(bench.calls(1).turn().outcome(), Some(Outcome::Cancelled));
        // The service works on in another runtime.
        bench.model.then([Reply::done()]);
        in_time(bench.layered(turns.clone()).oneshot(bench.ask("Go")))
            .await
            .unwrap();
        in_time(turns.shutdown(DEADLINE)).await;
        assert!(!runs(home));
    });
}
