//! Decodes the items of a turn.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::turn::{
    CommandOutput, FileUpdateChange, Item, ItemKind, ItemStatus, JsonText, wire::Fields,
};

/// The kinds of items that are not of the agent.
const OF_USER: &[&str] = &["userMessage", "hookPrompt", "functionCallOutput"];

/// Returns whether an item is not of the agent.
pub(super) fn is_of_user(fields: &Fields<'_>) -> bool {
    fields
        .text("type")
        .is_some_and(|kind| OF_USER.contains(&kind.as_str()))
}

/// Decodes an item of the agent; `None` if it has no kind.
pub(super) fn item(fields: &Fields<'_>) -> Option<Item> {
    let text = |key| fields.text(key).unwrap_or_default();
    let json = |key| fields.get(key).map(JsonText::from_raw);
    let name = fields.text("type")?;
    let kind = match name.as_str() {
        "agentMessage" => ItemKind::AgentMessage { text: text("text") },
        "reasoning" => ItemKind::Reasoning {
            text: lines(fields, "summary"),
        },
        "plan" => ItemKind::Plan { text: text("text") },
        "commandExecution" => ItemKind::CommandExecution {
            command: text("command"),
            cwd: fields.text("cwd").map(Into::into),
            output: fields
                .get("aggregatedOutput")
                .map(|output| CommandOutput::from_json(output.get().as_bytes()))
                .unwrap_or_default(),
            exit_code: fields.value("exitCode"),
            status: status(fields),
        },
        "fileChange" => ItemKind::FileChange {
            changes: fields.list("changes", change),
            status: status(fields),
        },
        "mcpToolCall" => ItemKind::McpToolCall {
            server: text("server"),
            tool: text("tool"),
            arguments: json("arguments").unwrap_or_default(),
            result: json("result"),
            error: fields
                .get("error")
                .map(|_| {
                    fields
                        .object("error")
                        .and_then(|error| error.text("message"))
                })
                .map(Option::unwrap_or_default),
            status: status(fields),
        },
        "dynamicToolCall" => ItemKind::DynamicToolCall {
            namespace: fields.text("namespace"),
            tool: text("tool"),
            arguments: json("arguments").unwrap_or_default(),
            content_items: json("contentItems"),
            status: status(fields),
        },
        "collabAgentToolCall" => ItemKind::CollabToolCall {
            tool: text("tool"),
            status: status(fields),
        },
        "webSearch" => ItemKind::WebSearch {
            query: text("query"),
        },
        "imageView" => ItemKind::ImageView {
            path: text("path").into(),
        },
        "contextCompaction" => ItemKind::ContextCompaction,
        _ => ItemKind::Other { name },
    };
    let mut item = Item::new(text("id"), kind);
    item.started_at = time(fields, "startedAtMs");
    item.completed_at = time(fields, "completedAtMs");
    item.duration = fields.value("durationMs").map(Duration::from_millis);
    Some(item)
}

fn status(fields: &Fields<'_>) -> ItemStatus {
    match fields.text("status").as_deref() {
        Some("inProgress") => ItemStatus::InProgress,
        Some("completed") => ItemStatus::Completed,
        Some("failed") => ItemStatus::Failed,
        Some("declined") => ItemStatus::Declined,
        other => ItemStatus::Other(other.unwrap_or_default().to_owned()),
    }
}

fn change(fields: &Fields<'_>) -> Option<FileUpdateChange> {
    let kind = fields.object("kind");
    let text = |key| kind.as_ref().and_then(|kind| kind.text(key));
    // Without a path it is a change all the same: who approves the edit has to see all of it.
    let path = fields.text("path").unwrap_or_default();
    let mut change = FileUpdateChange::new(path, text("type").unwrap_or_default());
    if let Some(path) = text("move_path") {
        change = change.with_move_path(path);
    }
    if let Some(diff) = fields.text("diff") {
        change = change.with_diff(diff);
    }
    Some(change)
}

fn lines(fields: &Fields<'_>, key: &str) -> String {
    let parts: Vec<String> = fields.value(key).unwrap_or_default();
    parts.join("\n")
}

fn time(fields: &Fields<'_>, key: &str) -> Option<SystemTime> {
    let since = Duration::from_millis(fields.value(key)?);
    UNIX_EPOCH.checked_add(since)
}
