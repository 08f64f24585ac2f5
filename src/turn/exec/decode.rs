//! Decodes a line of Codex's output, leniently.
//!
//! A line becomes a JSON value first, and not a struct: some lines have a key twice, new versions change
//! types, and a missing field must not invalidate the rest of its line.

use serde_json::{Map, Value};

use crate::turn::{FileUpdateChange, Item, ItemKind, ItemStatus, TodoItem, Usage};

/// A decoded line.
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
    /// An event or an item whose kind is unknown.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Started,
    Updated,
    Completed,
}

/// Decodes a line. The error explains why the line is not a JSON object, without its content.
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

/// Decodes token counts; `None` when the first of them is missing.
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
            items: take_list(fields, "items", todo_item),
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
    // Codex appends a backtrace when RUST_BACKTRACE is set.
    if let Some(end) = message.find("\n\nStack backtrace:") {
        message.truncate(end);
    }
    Some(message)
}

fn change(fields: &mut Map<String, Value>) -> Option<FileUpdateChange> {
    Some(FileUpdateChange {
        path: take_text(fields, "path")?.into(),
        kind: take_text(fields, "kind").unwrap_or_default(),
    })
}

fn todo_item(fields: &mut Map<String, Value>) -> Option<TodoItem> {
    let completed = fields.get("completed").and_then(Value::as_bool);
    Some(TodoItem {
        text: take_text(fields, "text")?,
        completed: completed.unwrap_or_default(),
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
    decode: impl Fn(&mut Map<String, Value>) -> Option<T>,
) -> Vec<T> {
    let values = fields.get_mut(key).and_then(Value::as_array_mut);
    let objects = values
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut);
    objects.filter_map(decode).collect()
}

/// Takes the message of an error, which is an object or the message itself.
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

    fn kind(json: &str) -> ItemKind {
        let event = format!(r#"{{"type":"item.completed","item":{json}}}"#);
        match line(event.as_bytes()) {
            Ok(Line::Item { item, .. }) => item.kind,
            other => panic!("not an item: {other:?}"),
        }
    }

    #[test]
    fn a_todo_list_has_its_items() {
        let list = kind(
            r#"{"type":"todo_list","items":[{"text":"a","completed":true},{"text":"b"},{"completed":true}]}"#,
        );
        let items = vec![TodoItem::new("a", true), TodoItem::new("b", false)];
        assert_eq!(list, ItemKind::TodoList { items });
    }

    #[test]
    fn a_file_change_has_its_changes() {
        let change = kind(
            r#"{"type":"file_change","changes":[{"path":"/a","kind":"add"},{"path":"/b"},{"kind":"add"}],"status":"completed"}"#,
        );
        let changes = vec![
            FileUpdateChange::new("/a", "add"),
            FileUpdateChange::new("/b", ""),
        ];
        let status = ItemStatus::Completed;
        assert_eq!(change, ItemKind::FileChange { changes, status });
    }

    #[test]
    fn a_line_with_a_key_twice_is_decoded() {
        let twice = br#"{"type":"item.completed","item":{"id":"item_0","type":"web_search","id":"ws1","query":"weather","action":{"type":"search"}}}"#;
        let Ok(Line::Item { item, .. }) = line(twice) else {
            panic!("not an item");
        };
        assert_eq!(item.id, "ws1");
        let query = "weather".to_owned();
        assert_eq!(item.kind, ItemKind::WebSearch { query });
    }

    #[test]
    fn an_unknown_event_is_not_an_error_and_invalid_json_is() {
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
            assert!(line(garbage.as_bytes()).is_err(), "{garbage:?} was decoded");
        }
    }

    #[test]
    fn the_error_does_not_contain_the_line() {
        let reason = line(b"the key is sk-very-secret").unwrap_err();
        assert!(!reason.contains("secret"), "{reason}");
    }

    #[test]
    fn a_turn_with_an_invalid_usage_is_completed() {
        let strange = br#"{"type":"turn.completed","usage":"a lot"}"#;
        assert_eq!(line(strange), Ok(Line::TurnCompleted { usage: None }));
    }
}
