//! The model responses of a turn are calls, and each token is on one of them.

use codex_telemetry::{Event, Operation, event::names};

use crate::support::Rig;

/// What the scripts tell of responses and of a command.
const TELL: &str = r#"
    usage() { echo '"inputTokens":'$1',"outputTokens":'$2; }
    response() { tell rawResponse/completed '"responseId":"'$1'","usage":{'$(usage $2 $3)'}'; }
    used() { tell thread/tokenUsage/updated '"tokenUsage":{"last":{'$(usage $1 $2)'},"total":{'$(usage $3 $4)'}}'; }
    command() { tell item/$1 '"item":{"type":"commandExecution","id":"call_1","command":"serve","status":"'$2'"}'; }
    delta() { tell item/agentMessage/delta '"itemId":"m1","delta":"hi"'; }
"#;

/// Runs a turn, and returns the ends of its responses and its own.
async fn events(turn: &str) -> (Vec<Event>, Event) {
    let rig = Rig::new(&format!(
        "{TELL} turn() {{ {turn}; end completed; }}; serve"
    ));
    rig.turn().await.unwrap();
    let mut chats = rig.sink.events();
    chats.retain(|event| event.kind().is_terminal() && event.operation() == Operation::Chat);
    (chats, rig.turn_events().remove(0))
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
