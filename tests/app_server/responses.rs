//! The model responses of a turn are calls, and each token is on one of them.

use codex_telemetry::{Event, Operation, event::names};

use crate::support::Rig;

/// What the scripts tell of responses and of a command.
const TELL: &str = r#"
    usage() { echo '"inputTokens":'$1',"outputTokens":'$2; }
    response() { tell rawResponse/completed '"responseId":"'$1'","usage":{'$(usage $2 $3)'}'; }
    used() { tell thread/tokenUsage/updated '"tokenUsage":{"last":{'$(usage $1 $2)'},"total":{'$(usage $3 $4)'}}'; }
    command() { tell item/$1 '"item":{"type":"commandExecution","id":"'${3:-call_1}'","command":"serve","status":"'$2'"}'; }
    delta() { tell item/agentMessage/delta '"itemId":"m1","delta":"hi"'; }
"#;

/// Runs a turn.
async fn run(turn: &str) -> Rig {
    let rig = Rig::new(&format!(
        "{TELL} turn() {{ {turn}; end completed; }}; serve"
    ));
    rig.turn().await.unwrap();
    rig
}

/// Returns the ends of an operation.
fn ends(rig: &Rig, operation: Operation) -> Vec<Event> {
    let mut ends = rig.sink.events();
    ends.retain(|event| event.kind().is_terminal() && event.operation() == operation);
    ends
}

/// Runs a turn, and returns the ends of its responses and its own.
async fn events(turn: &str) -> (Vec<Event>, Event) {
    let rig = run(turn).await;
    (ends(&rig, Operation::Chat), rig.turn_events().remove(0))
}

fn number(event: &Event, key: &str) -> i64 {
    match event.attribute(key) {
        Some(opentelemetry::Value::I64(number)) => *number,
        _ => 0,
    }
}

/// Checks that the responses are counted, and have all tokens of the turn together.
fn assert_told(chats: &[Event], turn: &Event, count: usize) {
    assert_eq!(chats.len(), count, "{chats:?}");
    let count = i64::try_from(count).unwrap();
    assert_eq!(number(turn, names::INFERENCE_CALLS), count);
    for key in [names::INPUT_TOKENS, names::OUTPUT_TOKENS] {
        let sum: i64 = chats.iter().map(|chat| number(chat, key)).sum();
        assert_eq!(sum, number(turn, key), "{key}");
        assert_ne!(sum, 0);
    }
}

#[tokio::test]
async fn a_response_while_a_command_goes_on_is_a_call_with_its_tokens() {
    let (chats, turn) = events(
        "delta; response r1 10 2; used 10 2 10 2; command started inProgress
         delta; response r2 20 3; used 20 3 30 5; say 'all done'
         command completed completed",
    )
    .await;
    assert_told(&chats, &turn, 2);
    // Nobody tells when the second one began.
    let first_chunk = names::RESPONSE_TIME_TO_FIRST_CHUNK;
    assert!(chats[0].attribute(first_chunk).is_some());
    assert_eq!(chats[1].attribute(first_chunk), None);
}

#[tokio::test]
async fn a_response_without_a_sign_of_its_begin_is_a_call_with_its_tokens() {
    let (chats, turn) = events(
        "response r1 10 2; command started inProgress
         response r2 20 3; say 'all done'; command completed completed",
    )
    .await;
    assert_told(&chats, &turn, 2);
}

#[tokio::test]
async fn the_usage_of_a_response_while_a_command_goes_on_is_on_a_call_where_nothing_else_is_told() {
    let (chats, turn) = events(
        "delta; command started inProgress; used 10 2 10 2
         used 20 3 30 5; say 'all done'; command completed completed",
    )
    .await;
    assert_told(&chats, &turn, 2);
}

#[tokio::test]
async fn a_response_begins_with_the_end_of_the_last_tool_although_one_has_ended_before_the_next_began()
 {
    for ends_are_told in [true, false] {
        let response = |call| if ends_are_told { call } else { ":" };
        let rig = run(&format!(
            "delta; {}
             command started inProgress call_1; command completed completed call_1
             command started inProgress call_2; command completed completed call_2
             used 10 2 10 2; say 'all done'; {}; used 20 3 30 5",
            response("response r1 10 2"),
            response("response r2 20 3"),
        ))
        .await;
        let (chats, tools) = (ends(&rig, Operation::Chat), ends(&rig, Operation::Tool));
        assert_told(&chats, &rig.turn_events()[0], 2);
        assert_eq!(tools.len(), 2);
        let timeline = rig.sink.timeline();
        assert!(chats[0].time() <= tools[0].time(), "{timeline}");
        assert!(chats[1].start_time() >= tools[1].time(), "{timeline}");
        assert_eq!(number(&chats[1], names::INPUT_TOKENS), 20);
    }
}
