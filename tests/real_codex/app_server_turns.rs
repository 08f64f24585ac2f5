//! Turns by an app-server: results, items, usage and calls.

use codex_telemetry::turn::ItemKind;

use crate::{
    bench::Bench,
    calls::assert_ok,
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
