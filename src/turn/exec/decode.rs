//! One line of Codex's output, read leniently.
//!
//! The lines are decoded by way of a JSON value rather than into structs: some hold a key twice, new
//! versions change shapes, and a field that is missing must not cost the rest of its line.

use serde_json::{Map, Value};

use crate::turn::{Change, Item, ItemKind, ItemStatus, Step, Usage};

#[cfg(test)]
pub(super) mod properties;

#[derive(Debug, PartialEq)]
pub(super) enum Line {
    ThreadStarted {
        thread_id: String,
    },
    TurnStarted,
    TurnCompleted {
        usage: Option<Usage>,
    },
    TurnFailed {
        message: String,
    },
    Error {
        message: String,
    },
    Item {
        stage: Stage,
        item: Item,
    },
    /// An event or an item of a kind that this version does not know.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Started,
    Updated,
    Completed,
}

/// Decodes a line; an error says why it is no JSON object, without its content.
pub(super) fn line(bytes: &[u8]) -> Result<Line, String> {
    let value = serde_json::from_slice(bytes).map_err(|error| {
        let (at, length) = (error.column(), bytes.len());
        format!("not JSON (at byte {at} of {length})")
    })?;
    let Value::Object(mut event) = value else {
        return Err("JSON, but not an object".to_owned());
    };
    let kind = take_text(&mut event, "type").unwrap_or_default();
    Ok(match kind.as_str() {
        "thread.started" => match take_text(&mut event, "thread_id") {
            Some(thread_id) => Line::ThreadStarted { thread_id },
            None => Line::Unknown,
        },
        "turn.started" => Line::TurnStarted,
        "turn.completed" => Line::TurnCompleted {
            usage: event.get("usage").and_then(usage),
        },
        "turn.failed" => Line::TurnFailed {
            message: take_message(event.get_mut("error")),
        },
        "error" => Line::Error {
            message: take_text(&mut event, "message").unwrap_or_default(),
        },
        "item.started" => item_line(Stage::Started, &mut event),
        "item.updated" => item_line(Stage::Updated, &mut event),
        "item.completed" => item_line(Stage::Completed, &mut event),
        _ => Line::Unknown,
    })
}

/// Counts of tokens; `None` when there is not even the first of them.
pub(super) fn usage(value: &Value) -> Option<Usage> {
    let count = |key: &str| value.get(key).and_then(Value::as_u64);
    Some(Usage {
        input_tokens: count("input_tokens")?,
        cached_input_tokens: count("cached_input_tokens").unwrap_or_default(),
        cache_write_input_tokens: count("cache_write_input_tokens").unwrap_or_default(),
        output_tokens: count("output_tokens").unwrap_or_default(),
        reasoning_output_tokens: count("reasoning_output_tokens").unwrap_or_default(),
    })
}

fn item_line(stage: Stage, event: &mut Map<String, Value>) -> Line {
    match event.get_mut("item").and_then(Value::as_object_mut) {
        Some(fields) => item(fields).map_or(Line::Unknown, |item| Line::Item { stage, item }),
        None => Line::Unknown,
    }
}

fn item(fields: &mut Map<String, Value>) -> Option<Item> {
    let kind = take_text(fields, "type")?;
    let mut text = |key| take_text(fields, key).unwrap_or_default();
    let kind = match kind.as_str() {
        "agent_message" => ItemKind::AgentMessage { text: text("text") },
        "reasoning" => ItemKind::Reasoning { text: text("text") },
        "command_execution" => ItemKind::CommandExecution {
            command: text("command"),
            output: text("aggregated_output"),
            exit_code: fields.get("exit_code").and_then(Value::as_i64),
            status: status(fields),
        },
        "file_change" => ItemKind::FileChange {
            changes: take_list(fields, "changes", change),
            status: status(fields),
        },
        "mcp_tool_call" => ItemKind::McpToolCall {
            server: text("server"),
            tool: text("tool"),
            arguments: fields.remove("arguments").unwrap_or_default(),
            result: fields.remove("result").filter(|result| !result.is_null()),
            error: tool_error(fields),
            status: status(fields),
        },
        "collab_tool_call" => ItemKind::CollabToolCall {
            tool: text("tool"),
            status: status(fields),
        },
        "web_search" => ItemKind::WebSearch {
            query: text("query"),
        },
        "todo_list" => ItemKind::TodoList {
            steps: take_list(fields, "items", step),
        },
        "error" => ItemKind::Warning {
            message: text("message"),
        },
        _ => return None,
    };
    Some(Item {
        id: take_text(fields, "id").unwrap_or_default(),
        kind,
    })
}

fn status(fields: &Map<String, Value>) -> ItemStatus {
    match fields.get("status").and_then(Value::as_str) {
        Some("in_progress") => ItemStatus::InProgress,
        Some("completed") => ItemStatus::Completed,
        Some("failed") => ItemStatus::Failed,
        Some("declined") => ItemStatus::Declined,
        _ => ItemStatus::Unknown,
    }
}

fn tool_error(fields: &mut Map<String, Value>) -> Option<String> {
    let error = fields.get_mut("error").filter(|error| !error.is_null())?;
    let mut message = take_message(Some(error));
    // With RUST_BACKTRACE in its environment, Codex appends one.
    if let Some(at) = message.find("\n\nStack backtrace:") {
        message.truncate(at);
    }
    Some(message)
}

fn change(mut value: Value) -> Option<Change> {
    let fields = value.as_object_mut()?;
    Some(Change {
        path: take_text(fields, "path")?.into(),
        kind: take_text(fields, "kind").unwrap_or_default(),
    })
}

fn step(mut value: Value) -> Option<Step> {
    let fields = value.as_object_mut()?;
    let done = fields.get("completed").and_then(Value::as_bool);
    Some(Step {
        text: take_text(fields, "text")?,
        completed: done.unwrap_or_default(),
    })
}

fn take_text(fields: &mut Map<String, Value>, key: &str) -> Option<String> {
    match fields.get_mut(key).map(Value::take) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn take_list<T>(
    fields: &mut Map<String, Value>,
    key: &str,
    each: impl FnMut(Value) -> Option<T>,
) -> Vec<T> {
    match fields.get_mut(key).map(Value::take) {
        Some(Value::Array(values)) => values.into_iter().filter_map(each).collect(),
        _ => Vec::new(),
    }
}

/// The text of an error, which is an object with a message, or the message itself.
fn take_message(error: Option<&mut Value>) -> String {
    match error.map(Value::take) {
        Some(Value::Object(mut fields)) => take_text(&mut fields, "message").unwrap_or_default(),
        Some(Value::String(message)) => message,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stands_twice_does_not_cost_the_line() {
        let twice = br#"{"type":"item.completed","item":{"id":"item_0","type":"web_search","id":"ws1","query":"weather","action":{"type":"search"}}}"#;
        let Ok(Line::Item { item, .. }) = line(twice) else {
            panic!("not an item");
        };
        assert_eq!(item.id, "ws1");
        let query = "weather".to_owned();
        assert_eq!(item.kind, ItemKind::WebSearch { query });
    }

    #[test]
    fn what_is_not_known_is_told_from_what_is_not_json() {
        for unknown in [
            r#"{"type":"turn.paused"}"#,
            r#"{"type":"item.completed","item":{"id":"i","type":"hologram"}}"#,
            r#"{"type":"item.completed","item":"text"}"#,
            r#"{"type":7}"#,
            "{}",
        ] {
            assert_eq!(line(unknown.as_bytes()), Ok(Line::Unknown), "{unknown}");
        }
        for garbage in ["", "Segmentation fault", "[1]", "{\"type\":", "\u{feff}{}"] {
            assert!(line(garbage.as_bytes()).is_err(), "{garbage:?} was taken");
        }
    }

    #[test]
    fn the_reason_why_a_line_is_refused_does_not_hold_its_content() {
        let reason = line(b"the key is sk-very-secret").unwrap_err();
        assert!(!reason.contains("secret"), "{reason}");
    }

    #[test]
    fn a_completed_turn_is_one_whatever_its_usage_looks_like() {
        let strange = br#"{"type":"turn.completed","usage":"a lot"}"#;
        assert_eq!(line(strange), Ok(Line::TurnCompleted { usage: None }));
    }
}
