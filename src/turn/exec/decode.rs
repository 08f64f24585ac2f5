//! Decodes a line of Codex's output, leniently.
//!
//! A line becomes its fields first, and not a struct: some lines have a key twice, new versions change types,
//! and a missing field must not invalidate the rest of its line. The fields are text until one of them is
//! needed: a line may have any JSON of others, which would be many times larger as values.

use serde_json::value::RawValue;

use crate::turn::{
    CommandOutput, FileUpdateChange, Item, ItemKind, ItemStatus, JsonText, TodoItem, Usage,
    calls::Stage,
    wire::{Fields, SplitLine},
};

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
    /// An event whose kind is unknown, or an item without a kind.
    Unknown,
}

/// The key of the output of a command, up to the quote of its string.
const OUTPUT: &[u8] = br#""aggregated_output":""#;

/// Decodes a line. The error explains why the line is not a JSON object, without its content.
///
/// The text of a command's output is not checked here: see [`CommandOutput`].
pub(super) fn line(bytes: &[u8]) -> Result<Line, String> {
    match SplitLine::new(bytes, OUTPUT).as_ref().and_then(split_line) {
        Some(line) => Ok(line),
        None => whole_line(bytes),
    }
}

/// Decodes a line that was split; `None` if what was split off is not the output of the line's own command.
fn split_line(split: &SplitLine<'_>) -> Option<Line> {
    let event = Fields::from_line(split.rest()).ok()?;
    let field = event.part("item")?.get("aggregated_output")?;
    let written = split.output_of(field)?;
    let mut line = event_line(&event);
    if let Line::Item { item, .. } = &mut line
        && let ItemKind::CommandExecution { output, .. } = &mut item.kind
    {
        *output = CommandOutput::from_json(written);
        return Some(line);
    }
    None
}

/// Decodes a line, and checks all of it.
pub(super) fn whole_line(bytes: &[u8]) -> Result<Line, String> {
    let event = Fields::from_line(bytes).map_err(|error| {
        // The rest of a line that is not an object was not read.
        match serde_json::from_slice::<&RawValue>(bytes) {
            Ok(_) => "JSON, but not an object".to_owned(),
            Err(_) => format!("not JSON (at byte {} of {})", error.column(), bytes.len()),
        }
    })?;
    Ok(event_line(&event))
}

fn event_line(event: &Fields<'_>) -> Line {
    let kind = event.text("type").unwrap_or_default();
    match kind.as_str() {
        "thread.started" => match event.text("thread_id") {
            Some(thread_id) => Line::ThreadStarted { thread_id },
            None => Line::Unknown,
        },
        "turn.started" => Line::TurnStarted,
        "turn.completed" => Line::TurnCompleted {
            usage: event.object("usage").as_ref().and_then(usage),
        },
        "turn.failed" => Line::TurnFailed {
            message: message(event),
        },
        "error" => Line::Error {
            message: event.text("message").unwrap_or_default(),
        },
        "item.started" => item_line(Stage::Started, event),
        "item.updated" => item_line(Stage::Updated, event),
        "item.completed" => item_line(Stage::Completed, event),
        _ => Line::Unknown,
    }
}

/// Decodes token counts; `None` when the first of them is missing.
pub(super) fn usage(fields: &Fields<'_>) -> Option<Usage> {
    let count = |key| fields.value::<u64>(key);
    Some(Usage {
        input_tokens: count("input_tokens")?,
        cached_input_tokens: count("cached_input_tokens").unwrap_or_default(),
        cache_write_input_tokens: count("cache_write_input_tokens").unwrap_or_default(),
        output_tokens: count("output_tokens").unwrap_or_default(),
        reasoning_output_tokens: count("reasoning_output_tokens").unwrap_or_default(),
    })
}

fn item_line(stage: Stage, event: &Fields<'_>) -> Line {
    let item = event.part("item").and_then(item);
    item.map_or(Line::Unknown, |item| Line::Item { stage, item })
}

fn item(fields: &Fields<'_>) -> Option<Item> {
    let text = |key| fields.text(key).unwrap_or_default();
    let json = |key| fields.get(key).map(JsonText::from_raw);
    let kind = match fields.text("type")?.as_str() {
        "agent_message" => ItemKind::AgentMessage { text: text("text") },
        "reasoning" => ItemKind::Reasoning { text: text("text") },
        "command_execution" => ItemKind::CommandExecution {
            command: text("command"),
            cwd: None,
            output: fields
                .get("aggregated_output")
                .map(|output| CommandOutput::from_json(output.get().as_bytes()))
                .unwrap_or_default(),
            exit_code: fields.value("exit_code"),
            status: status(fields),
        },
        "file_change" => ItemKind::FileChange {
            changes: fields.list("changes", change),
            status: status(fields),
        },
        "mcp_tool_call" => ItemKind::McpToolCall {
            server: text("server"),
            tool: text("tool"),
            arguments: json("arguments").unwrap_or_default(),
            result: json("result"),
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
            items: fields.list("items", todo_item),
        },
        "error" => ItemKind::Warning {
            message: text("message"),
        },
        name => ItemKind::Other {
            name: name.to_owned(),
        },
    };
    Some(Item::new(text("id"), kind))
}

fn status(fields: &Fields<'_>) -> ItemStatus {
    match fields.text("status").as_deref() {
        Some("in_progress") => ItemStatus::InProgress,
        Some("completed") => ItemStatus::Completed,
        Some("failed") => ItemStatus::Failed,
        Some("declined") => ItemStatus::Declined,
        other => ItemStatus::Other(other.unwrap_or_default().to_owned()),
    }
}

fn tool_error(fields: &Fields<'_>) -> Option<String> {
    fields.get("error")?;
    let mut message = message(fields);
    // Codex appends a backtrace when RUST_BACKTRACE is set.
    if let Some(end) = message.find("\n\nStack backtrace:") {
        message.truncate(end);
        message.shrink_to_fit();
    }
    Some(message)
}

fn change(fields: &Fields<'_>) -> Option<FileUpdateChange> {
    let kind = fields.text("kind").unwrap_or_default();
    Some(FileUpdateChange::new(fields.text("path")?, kind))
}

fn todo_item(fields: &Fields<'_>) -> Option<TodoItem> {
    Some(TodoItem {
        text: fields.text("text")?,
        completed: fields.value("completed").unwrap_or_default(),
    })
}

/// Returns the message of the field `error`, which is an object or the message itself.
fn message(fields: &Fields<'_>) -> String {
    let message = match fields.object("error") {
        Some(error) => error.text("message"),
        None => fields.text("error"),
    };
    message.unwrap_or_default()
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
    fn the_json_of_a_tool_is_kept_as_it_is() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        for json in [r#"{"a": 1e999, "a":"\ud800"}"#, &deep, "0", "\"x\""] {
            let call = kind(&format!(
                r#"{{"type":"mcp_tool_call","arguments":{json},"result":{json}}}"#
            ));
            let ItemKind::McpToolCall {
                arguments, result, ..
            } = call
            else {
                panic!("{call:?}");
            };
            assert_eq!(arguments.as_str(), json);
            assert_eq!(result, Some(arguments));
        }
        let ItemKind::McpToolCall {
            arguments, result, ..
        } = kind(r#"{"type":"mcp_tool_call","result":null}"#)
        else {
            panic!("not a call of a tool");
        };
        assert_eq!((arguments.as_str(), result), ("null", None));
    }

    #[test]
    fn an_unknown_event_is_not_an_error_and_invalid_json_is() {
        for unknown in [
            r#"{"type":"turn.paused"}"#,
            r#"{"type":"item.completed","item":{"id":"i"}}"#,
            r#"{"type":"item.completed","item":{"id":"i","type":7}}"#,
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
    fn an_unknown_kind_of_item_keeps_its_name() {
        let hologram = kind(r#"{"id":"i","type":"hologram","text":"a"}"#);
        let name = "hologram".to_owned();
        assert_eq!(hologram, ItemKind::Other { name });
    }

    #[test]
    fn an_unknown_status_keeps_its_name() {
        for (json, expected) in [
            (r#""status":"in_progress""#, ItemStatus::InProgress),
            (
                r#""status":"paused""#,
                ItemStatus::Other("paused".to_owned()),
            ),
            (r#""status":7"#, ItemStatus::Other(String::new())),
            (r#""x":0"#, ItemStatus::Other(String::new())),
        ] {
            let call = kind(&format!(
                r#"{{"type":"collab_tool_call","tool":"t",{json}}}"#
            ));
            let ItemKind::CollabToolCall { status, .. } = call else {
                panic!("{call:?}");
            };
            assert_eq!(status, expected);
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
