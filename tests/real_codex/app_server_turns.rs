//! Turns by an app-server: results, items, usage and calls.

use std::time::{Duration, SystemTime};

use codex_telemetry::{
    event::names,
    turn::{ItemKind, TurnError, TurnRequest},
};
use opentelemetry::Value;

use crate::{
    bench::{Bench, in_time, until},
    calls::{assert_ok, number},
    gate::Gate,
    reply::{Reply, Tokens},
    thread::assert_used,
};

#[tokio::test]
async fn a_turn_completes_with_its_message_and_codexs_own_ids() {
    let Some(bench) = Bench::start([Reply::message("hi there", Tokens::FEW)]) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let turn = server.complete(bench.ask("Say hi")).await;
    assert_eq!(turn.final_message.as_deref(), Some("hi there"));
    assert_eq!((turn.retries, turn.unknown_events), (0, 0));
    let calls = bench.calls(1);
    let of_turn = calls.of(&turn);
    assert_ok(of_turn.turn);
    let asked = bench.model.asked();
    assert_eq!(asked[0].header("thread-id"), turn.thread_id.unwrap());
    let metadata = asked[0].header("x-codex-turn-metadata");
    let metadata: serde_json::Value = serde_json::from_str(metadata).unwrap();
    assert_eq!(metadata["turn_id"], turn.turn_id.unwrap());
    server.end().await;
}

#[tokio::test]
async fn turns_of_two_threads_at_once_do_not_mix() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    let (plum, pear) = (Gate::new(), Gate::new());
    for (text, gate, factor) in [("plum", &plum, 2), ("pear", &pear, 3)] {
        let used = Tokens::FEW.times(factor);
        let parts = [text, " is", " a fruit"];
        bench.model.then_to(
            text,
            [
                Reply::shell(&format!("echo {text}")),
                Reply::streamed(&parts, used).held_after(3, gate),
            ],
        );
    }
    let server = bench.app_server(|builder| builder);
    // Both turns run a command, and their models write at the same time.
    let release = async {
        plum.reached().await;
        pear.reached().await;
        pear.open();
        plum.open();
    };
    let both = server.complete_both(bench.ask("About plum"), bench.ask("About pear"));
    let ((of_plum, of_pear), ()) = tokio::join!(both, release);
    let calls = bench.calls(2);
    for (turn, text, factor) in [(&of_plum, "plum", 2), (&of_pear, "pear", 3)] {
        let message = format!("{text} is a fruit");
        assert_eq!(turn.final_message.as_ref(), Some(&message));
        let [command, answer] = &turn.items[..] else {
            panic!("{:?}", turn.items);
        };
        let ItemKind::CommandExecution { output, .. } = &command.kind else {
            panic!("{command:?}");
        };
        assert_eq!(output.trim(), text);
        assert_eq!(answer.kind, ItemKind::AgentMessage { text: message });
        assert_used(turn.usage, Tokens::FEW.times(1 + factor));

        let of_turn = calls.of(turn);
        assert_ok(of_turn.turn);
        assert_eq!((of_turn.tools.len(), of_turn.chats.len()), (1, 2));
        for request in bench.model.asked_about(text) {
            assert_eq!(
                request.header("thread-id"),
                turn.thread_id.as_deref().unwrap()
            );
        }
    }
    assert_ne!(of_plum.thread_id, of_pear.thread_id);
    assert_ne!(calls.turns[0].trace_id(), calls.turns[1].trace_id());
    server.end().await;
}

#[tokio::test]
async fn the_items_of_a_turn_have_their_times_and_durations() {
    let script = [Reply::shell("sleep 1.3"), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let before = SystemTime::now();
    let turn = server.complete(bench.ask("Go")).await;
    let after = SystemTime::now();
    server.end().await;
    let [command, message] = &turn.items[..] else {
        panic!("{:?}", turn.items);
    };
    for item in [command, message] {
        let (started, completed) = (item.started_at.unwrap(), item.completed_at.unwrap());
        // Codex's clock has whole milliseconds.
        let slack = Duration::from_millis(1);
        assert!(
            before <= started + slack && started <= completed && completed <= after,
            "{item:?}"
        );
    }
    assert!(command.completed_at <= message.started_at);
    let ran = command.duration.unwrap();
    // Codex tells the start of a command some 100 ms late, and counts from there.
    assert!(ran >= Duration::from_secs(1), "{ran:?}");

    let calls = bench.calls(1);
    let tool = calls.of(&turn).tools[0];
    assert_ok(tool);
    assert_eq!(tool.call_name(), Some("command_execution"));
    assert_eq!(number(tool, names::EXIT_CODE), Some(0));
    assert_eq!(tool.call_id(), Some(&*command.id));
}

#[tokio::test]
async fn a_second_turn_of_a_thread_waits_for_the_first_and_tells_how_long() {
    let gate = Gate::new();
    let script = [
        Reply::done(),
        Reply::message("first", Tokens::FEW).held(&gate),
        Reply::message("second", Tokens::FEW),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let begun = server.complete(bench.ask("Go")).await;
    let held = Duration::from_millis(200);
    let release = async {
        gate.reached().await;
        // The other turn waits, and it does for a time.
        until("both turns are active", || server.turns.active() == 2).await;
        tokio::time::sleep(held).await;
        assert_eq!(
            bench.model.asked().len(),
            2,
            "the second turn steered the first"
        );
        gate.open();
    };
    let first = server.complete(bench.ask_on(&begun, "One"));
    let second = async {
        gate.reached().await;
        // Without a directory, nothing is checked before the wait.
        let thread = begun.thread_id.as_deref().unwrap();
        server
            .complete(TurnRequest::new("Two").with_resume(thread))
            .await
    };
    let (first, second, ()) = tokio::join!(first, second, release);
    server.end().await;
    assert_eq!(first.final_message.as_deref(), Some("first"));
    assert_eq!(second.final_message.as_deref(), Some("second"));
    assert_ne!(first.turn_id, second.turn_id);
    let calls = bench.calls(3);
    let wait = calls.of(&second).turn.attribute(names::THREAD_WAIT);
    let Some(Value::F64(wait)) = wait else {
        panic!("{wait:?}");
    };
    assert!(*wait >= held.as_secs_f64() * 1e3, "{wait}");
    // The prompt of the second turn was not in the first.
    assert!(!bench.model.asked()[1].is_about("Two"));
}

#[tokio::test]
async fn a_thread_goes_on_in_the_same_server_and_in_a_new_one() {
    let used = |factor| Reply::message("on", Tokens::FEW.times(factor));
    let Some(bench) = Bench::start([1, 10, 100].map(used)) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let first = server.complete(bench.ask("Remember the word plum")).await;
    let second = server.complete(bench.ask_on(&first, "On")).await;
    server.end().await;
    let server = bench.app_server(|builder| builder);
    // Codex repeats the usage of the second turn first.
    let third = server.complete(bench.ask_on(&first, "On")).await;
    server.end().await;
    for (turn, own, total) in [(&first, 1, 1), (&second, 10, 11), (&third, 100, 111)] {
        assert_eq!(turn.thread_id, first.thread_id);
        assert_used(turn.usage, Tokens::FEW.times(own));
        assert_used(turn.thread_usage, Tokens::FEW.times(total));
    }
    bench.calls(3);
    for request in bench.model.asked() {
        assert!(request.is_about("plum"));
    }
}

#[tokio::test]
async fn a_thread_that_another_process_has_loaded_is_refused_until_it_is_closed() {
    let Some(bench) = Bench::start([Reply::done(), Reply::done()]) else {
        return;
    };
    let (server, other) = (
        bench.app_server(|builder| builder),
        bench.app_server(|builder| builder),
    );
    let turn = server.complete(bench.ask("Go")).await;
    let error = other.run(bench.ask_on(&turn, "On")).await.unwrap_err();
    let TurnError::Rejected { message, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(
        message.contains("already has an active writer"),
        "{message}"
    );
    in_time(server.turns.shutdown(Duration::from_secs(30))).await;
    other.complete(bench.ask_on(&turn, "On")).await;
    server.end_with(other).await;
    bench.calls(3);
}

#[tokio::test]
async fn an_ephemeral_thread_leaves_nothing_to_resume() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let server = bench.app_server(|builder| builder.ephemeral(true));
    let turn = server.complete(bench.ask("Go")).await;
    assert!(!bench.home.path().join("sessions").exists());
    let error = server.run(bench.ask_on(&turn, "On")).await.unwrap_err();
    assert!(matches!(error, TurnError::Rejected { .. }), "{error:?}");
    server.end().await;
    bench.calls(2);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_thread_goes_on_in_another_server_after_its_server_was_killed() {
    use rustix::process::{Pid, Signal, kill_process};

    let gate = Gate::new();
    let script = [
        Reply::done(),
        Reply::done().held(&gate),
        Reply::message("on", Tokens::FEW.times(7)),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let first = server.complete(bench.ask("Remember the word plum")).await;
    let kill = async {
        gate.reached().await;
        let pid = bench.codex().unwrap().try_into().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    };
    let (second, ()) = tokio::join!(server.run(bench.ask_on(&first, "On")), kill);
    let error = second.unwrap_err();
    assert!(matches!(error, TurnError::ServerExited { .. }), "{error:?}");
    let third = server.complete(bench.ask_on(&first, "On")).await;
    server.end().await;
    assert_eq!(third.thread_id, first.thread_id);
    assert_used(third.usage, Tokens::FEW.times(7));
    assert!(bench.model.asked()[2].is_about("plum"));
    bench.calls(3);
}
