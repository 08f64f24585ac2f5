//! What surprises a client of the protocol.

use std::fs;

use codex_telemetry::{
    Operation,
    turn::{ItemKind, ItemStatus},
};
use serde_json::Value;

use crate::support::Rig;

/// Reads the lines that a server has written down.
fn lines(rig: &Rig) -> Vec<Value> {
    let lines = fs::read_to_string(rig.directory().join("lines")).unwrap();
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_thread_is_resumed_without_its_history() {
    let script = r#"load_thread() {
        echo "$line" >>$FAKE_DIRECTORY/lines
        answer '{"thread":{"id":"'"$thread"'"}}'
    }
    serve"#;
    let rig = Rig::new(script);
    let id = "01a2021f-12be-7782-b2de-86dee0c040e2";
    rig.turn_of(id).await.unwrap();
    let [resume] = &lines(&rig)[..] else {
        panic!("{:?}", lines(&rig));
    };
    assert_eq!(resume["method"], "thread/resume");
    assert_eq!(resume["params"]["threadId"], id);
    // The answer would be a line with all that was said in the thread.
    assert_eq!(resume["params"]["excludeTurns"], true);
}

#[tokio::test]
async fn a_turn_has_a_trace_that_codex_can_read() {
    let script = r#"turn() { echo "$line" >>$FAKE_DIRECTORY/lines; end completed; }; serve"#;
    let rig = Rig::new(script);
    rig.turn().await.unwrap();
    let [start] = &lines(&rig)[..] else {
        panic!("{:?}", lines(&rig));
    };
    assert_eq!(start["method"], "turn/start");
    // A request with another form of it is never answered.
    assert!(start["params"]["trace"].is_null());
    let [turn] = &rig.turn_events()[..] else {
        panic!("{:?}", rig.turn_events());
    };
    let ours = format!("00-{}-{}-01", turn.trace_id(), turn.span_id());
    assert_eq!(start["trace"]["traceparent"], ours);
    let state = &start["trace"]["tracestate"];
    assert!(state.is_null() || state.is_string(), "{state}");
}

#[tokio::test]
async fn the_items_of_a_turn_are_those_that_were_told_one_by_one() {
    let script = r#"turn() {
        say 'on it'
        tell item/started '"item":{"type":"commandExecution","id":"c","command":"ls","status":"inProgress"}'
        tell item/completed '"item":{"type":"commandExecution","id":"c","command":"ls","status":"completed","aggregatedOutput":"a file","exitCode":0,"durationMs":5}'
        tell turn/completed '"turn":{"id":"'"$turn"'","status":"completed","error":null,"itemsView":"summary","items":[{"type":"agentMessage","id":"other","text":"a summary"}]}'
    }
    serve"#;
    let turn = Rig::new(script).turn().await.unwrap();
    let [message, command] = &turn.items[..] else {
        panic!("{:?}", turn.items);
    };
    let text = "on it".to_owned();
    assert_eq!(message.kind, ItemKind::AgentMessage { text });
    // No part of the output came before.
    let ItemKind::CommandExecution { output, status, .. } = &command.kind else {
        panic!("{command:?}");
    };
    assert_eq!((&**output, status), ("a file", &ItemStatus::Completed));
    assert_eq!(turn.final_message.as_deref(), Some("on it"));
}

#[tokio::test]
async fn unknown_items_and_statuses_are_kept() {
    let script = r#"turn() {
        tell item/completed '"item":{"type":"hologram","id":"h","status":"shown"}'
        tell item/completed '"item":{"type":"commandExecution","id":"c","command":"ls","status":"paused"}'
        end completed
    }
    serve"#;
    let turn = Rig::new(script).turn().await.unwrap();
    let [hologram, command] = &turn.items[..] else {
        panic!("{:?}", turn.items);
    };
    let name = "hologram".to_owned();
    assert_eq!(hologram.kind, ItemKind::Other { name });
    let ItemKind::CommandExecution { status, .. } = &command.kind else {
        panic!("{command:?}");
    };
    assert_eq!(*status, ItemStatus::Other("paused".to_owned()));
}

#[tokio::test]
async fn what_is_told_after_the_end_of_a_turn_is_not_of_the_next() {
    let script = r#"turn() {
        if [ "$turns" -gt 1 ]; then
            now=$turn turn=$before
            tell item/completed '"item":{"type":"commandExecution","id":"late","command":"ls","status":"failed","exitCode":-1}'
            tell thread/tokenUsage/updated '"tokenUsage":{"total":{"inputTokens":70,"outputTokens":7,"totalTokens":77},"last":{"inputTokens":70,"outputTokens":7,"totalTokens":77}}'
            turn=$now
        fi
        say 'all done'
        before=$turn
        end completed
    }
    serve"#;
    let rig = Rig::new(script);
    let first = rig.turn().await.unwrap();
    let second = rig.turn_of(first.thread_id.as_deref().unwrap()).await;
    let second = second.unwrap();
    assert_eq!(second.items.len(), 1, "{:?}", second.items);
    assert!(second.usage.is_none_or(|usage| usage.input_tokens == 0));
    let events = rig.sink.events();
    let tools = events
        .iter()
        .filter(|event| event.operation() == Operation::Tool);
    assert_eq!(tools.count(), 0);
}
