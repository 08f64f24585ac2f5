//! Properties of any line, and the lines to try them on.

use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value};

use super::{Line, line};

/// What Codex's lines are made of, beside what they are not.
const WORDS: &[&str] = &[
    "type",
    "item",
    "id",
    "item_0",
    "item_1",
    "thread_id",
    "thread",
    "usage",
    "input_tokens",
    "output_tokens",
    "error",
    "message",
    "text",
    "status",
    "in_progress",
    "completed",
    "failed",
    "declined",
    "changes",
    "path",
    "kind",
    "items",
    "command",
    "command_execution",
    "file_change",
    "aggregated_output",
    "exit_code",
    "mcp_tool_call",
    "server",
    "tool",
    "arguments",
    "result",
    "collab_tool_call",
    "web_search",
    "query",
    "todo_list",
    "agent_message",
    "reasoning",
    "Reconnecting... 1/5",
    "Read-only file system",
    "x\n\nStack backtrace:\n 0: y",
];
const EVENTS: &[&str] = &[
    "thread.started",
    "turn.started",
    "turn.completed",
    "turn.failed",
    "error",
    "item.started",
    "item.updated",
    "item.completed",
    "turn.paused",
];
const ITEMS: &[&str] = &[
    "agent_message",
    "reasoning",
    "command_execution",
    "file_change",
    "mcp_tool_call",
    "collab_tool_call",
    "web_search",
    "todo_list",
    "error",
    "hologram",
];

fn word(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(words).prop_map(|word| Value::from(word).to_string())
}

/// Any JSON as text; as text, because a key may stand twice.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => word(WORDS),
        1 => Just("null".to_owned()),
        1 => any::<bool>().prop_map(|it| it.to_string()),
        1 => any::<u64>().prop_map(|it| it.to_string()),
        1 => any::<i64>().prop_map(|it| it.to_string()),
        1 => any::<f32>().prop_map(|it| Value::from(it).to_string()),
        1 => any::<String>().prop_map(|it| Value::from(it).to_string()),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(|values| format!("[{}]", values.join(","))),
            fields(inner).prop_map(|fields| format!("{{{fields}}}")),
        ]
    })
}

fn fields(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let field = (word(WORDS), value).prop_map(|(key, value)| format!("{key}:{value}"));
    vec(field, 0..6).prop_map(|fields| fields.join(","))
}

/// A line as Codex could have written it, if not worse: of a known kind, with any fields.
pub(in crate::turn::exec) fn event() -> impl Strategy<Value = String> {
    let item = (word(ITEMS), fields(json())).prop_map(|(kind, fields)| with_type(&kind, &fields));
    let item = prop_oneof![3 => item, 1 => json()];
    (word(EVENTS), item, fields(json()))
        .prop_map(|(kind, item, fields)| with_type(&kind, &format!("\"item\":{item},{fields}")))
}

fn with_type(kind: &str, fields: &str) -> String {
    let fields = format!("\"type\":{kind},{fields}");
    format!("{{{}}}", fields.trim_end_matches(','))
}

/// A line is taken if it is a JSON object, and refused without its content if not.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let object = serde_json::from_slice::<Map<String, Value>>(bytes);
    match line(bytes) {
        Ok(_) => prop_assert!(object.is_ok()),
        Err(reason) => {
            prop_assert!(object.is_err());
            let reason = reason.replace(|c: char| c.is_ascii_digit(), "");
            let reasons = ["not JSON (at byte  of )", "JSON, but not an object"];
            prop_assert!(reasons.contains(&&*reason), "{reason}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_a_line_or_refused(bytes in vec(any::<u8>(), 0..64)) {
        check(&bytes)?;
    }

    #[test]
    fn any_json_is_a_line_or_refused(json in json()) {
        check(json.as_bytes())?;
    }

    #[test]
    fn an_event_that_was_cut_short_is_refused_and_the_whole_one_is_not(
        event in event(),
        cut in any::<proptest::sample::Index>(),
    ) {
        check(&event.as_bytes()[..cut.index(event.len())])?;
        prop_assert!(line(event.as_bytes()).is_ok(), "{event}");
    }

    #[test]
    fn spaces_around_a_line_change_nothing(event in event()) {
        let spaced = format!(" \t{event}\r");
        prop_assert_eq!(line(spaced.as_bytes()), line(event.as_bytes()));
    }

    #[test]
    fn fields_that_are_not_known_cost_nothing(more in json()) {
        let more = format!(r#"{{"new":{more},"type":"turn.started","newer":[{more}]}}"#);
        prop_assert_eq!(line(more.as_bytes()), Ok(Line::TurnStarted));
    }
}
