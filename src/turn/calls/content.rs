//! The contents of a turn, for a sink that captures content.
//!
//! Messages have the form of OpenTelemetry's conventions for generative AI.

use std::{borrow::Cow, collections::BTreeMap, path::Path};

use serde::Serialize;
use serde_json::json;

use crate::{
    call::{CallContext, CallGuard, CodexRequest},
    event::{
        content::{cut_json, to_json, to_text},
        names,
    },
    turn::{Item, ItemKind, TurnRequest, image_type, prompt},
};

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    /// Before the parts, so that it is there when they are cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'static str>,
    parts: Vec<Part<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text {
        content: &'a str,
    },
    Uri {
        modality: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        mime_type: Option<&'static str>,
        uri: String,
    },
}

/// A changed file. Its difference, which may be long, is not copied before it is cut.
#[derive(Serialize)]
struct Change<'a> {
    kind: &'a str,
    path: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    move_path: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<&'a str>,
}

/// Records the prompt as Codex gets it. An image is a reference, without its bytes.
pub(in crate::turn) fn record_prompt(request: &TurnRequest) {
    request.context().record_content(names::INPUT_MESSAGES, || {
        let prompt = prompt::with_files(request);
        // Images first, so that they are there when the prompt is cut.
        let mut parts: Vec<_> = request.images().iter().map(|path| image(path)).collect();
        parts.push(Part::Text { content: &prompt });
        to_json(&[Message {
            role: "user",
            finish_reason: None,
            parts,
        }])
    });
}

/// Records the last message of the agent; `is_completed` is false if the turn did not complete.
pub(in crate::turn) fn record_answer(context: &CallContext, text: &str, is_completed: bool) {
    context.record_content(names::OUTPUT_MESSAGES, || {
        to_json(&[Message {
            role: "assistant",
            finish_reason: Some(if is_completed { "stop" } else { "error" }),
            parts: vec![Part::Text { content: text }],
        }])
    });
}

/// Records the arguments of a tool call, as far as the item has them.
pub(in crate::turn) fn record_arguments(call: &CallGuard, item: &Item) {
    let record = |arguments: &dyn Fn() -> String| {
        call.record_content(names::TOOL_CALL_ARGUMENTS, arguments);
    };
    match &item.kind {
        ItemKind::CommandExecution { command, .. } => {
            record(&|| to_json(&json!({ "command": command })));
        }
        ItemKind::FileChange { changes, .. } => record(&|| {
            let changes = changes.iter().map(|change| Change {
                kind: &change.kind,
                path: change.path.to_string_lossy(),
                move_path: change.move_path().map(Path::to_string_lossy),
                diff: change.diff(),
            });
            to_json(&BTreeMap::from([("changes", changes.collect::<Vec<_>>())]))
        }),
        ItemKind::McpToolCall { arguments, .. } | ItemKind::DynamicToolCall { arguments, .. } => {
            record(&|| cut_json(arguments.as_str()));
        }
        ItemKind::WebSearch { query } => record(&|| to_json(&json!({ "query": query }))),
        ItemKind::ImageView { path } => {
            record(&|| to_json(&json!({ "path": path.to_string_lossy() })));
        }
        _ => {}
    }
}

/// Records the result of a tool call, if the item has one.
pub(in crate::turn) fn record_result(call: &CallGuard, item: &Item) {
    let record = |result: &dyn Fn() -> String| {
        call.record_content(names::TOOL_CALL_RESULT, result);
    };
    match &item.kind {
        ItemKind::CommandExecution { output, .. } => record(&|| to_text(&output.decode())),
        ItemKind::McpToolCall {
            error: Some(error), ..
        } => record(&|| to_text(error)),
        ItemKind::McpToolCall {
            result: Some(result),
            ..
        }
        | ItemKind::DynamicToolCall {
            content_items: Some(result),
            ..
        } => record(&|| cut_json(result.as_str())),
        _ => {}
    }
}

fn image(path: &Path) -> Part<'static> {
    Part::Uri {
        modality: "image",
        mime_type: image_type(path),
        uri: file_uri(path),
    }
}

/// Returns the URI of a file. It is relative if the path is.
fn file_uri(path: &Path) -> String {
    let scheme = if path.is_absolute() { "file://" } else { "" };
    let mut uri = scheme.to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
