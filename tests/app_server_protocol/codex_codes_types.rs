//! What the types of `codex-codes` keep of the transcripts.
//!
//! `src/turn/app_server/agreement.rs` compares what they keep with what this crate decodes.

use std::{collections::BTreeSet, fs, path::Path};

use codex_codes::{JsonRpcMessage, ServerMessage, ServerRequest};
use serde_json::Value;

use crate::transcript::Transcript;

/// The lines: `unknown METHOD`, `failed METHOD`, or `lost METHOD PATH`, where `[]` is any index.
const LIST: &str = "tests/app_server_protocol/codex_codes_lacks.txt";

/// Decodes a line and encodes it again; `None` if its method is unknown.
fn again(line: &Value) -> Result<Option<Value>, String> {
    if line["method"].is_null() {
        let message: JsonRpcMessage =
            serde_json::from_value(line.clone()).map_err(|error| error.to_string())?;
        return Ok(Some(serde_json::to_value(message).unwrap()));
    }
    let message = ServerMessage::from_value(line.clone()).map_err(|error| error.to_string())?;
    if message.is_unknown() {
        return Ok(None);
    }
    let mut line = match message {
        ServerMessage::Notification(notification) => serde_json::to_value(notification).unwrap(),
        ServerMessage::Request { id, request } => {
            let method = request.method().to_owned();
            let params = match request {
                ServerRequest::CmdExecApproval(params) => serde_json::to_value(params),
                ServerRequest::FileChangeApproval(params) => serde_json::to_value(params),
                ServerRequest::McpServerElicitationRequest(params) => serde_json::to_value(params),
                ServerRequest::ItemToolCall(params) => serde_json::to_value(params),
                other => panic!("not recorded: {other:?}"),
            };
            serde_json::json!({"id": id, "method": method, "params": params.unwrap()})
        }
    };
    Ok(Some(line.take()))
}

/// Collects the paths of values that are in one and not, or not the same, in the other. A missing value is as good as
/// `null`, and an empty list.
fn lost(path: &str, before: &Value, after: &Value, paths: &mut BTreeSet<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                let after = after.get(key).unwrap_or(&Value::Null);
                lost(&format!("{path}.{key}"), value, after, paths);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (before, after) in before.iter().zip(after) {
                lost(&format!("{path}[]"), before, after, paths);
            }
        }
        _ => {
            let is_empty = |value: &Value| value.is_null() || *value == serde_json::json!([]);
            if before != after && !(is_empty(before) && is_empty(after)) {
                paths.insert(path.to_owned());
            }
        }
    }
}

#[test]
fn codex_codes_lacks_what_the_list_says() {
    let mut lacks = BTreeSet::new();
    for transcript in Transcript::all() {
        for line in transcript.of_server() {
            let method = line["method"].as_str().unwrap_or("an answer");
            match again(line) {
                Err(_) => {
                    lacks.insert(format!("failed {method}"));
                }
                Ok(None) => {
                    lacks.insert(format!("unknown {method}"));
                }
                Ok(Some(after)) => {
                    let mut paths = BTreeSet::new();
                    lost("", line, &after, &mut paths);
                    // No notification keeps it.
                    paths.remove(".emittedAtMs");
                    let paths = paths
                        .iter()
                        .map(|path| format!("lost {method} {}", &path[1..]));
                    lacks.extend(paths);
                }
            }
        }
    }
    let lacks: String = lacks.iter().map(|line| format!("{line}\n")).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(LIST);
    let listed = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(lacks, listed, "{LIST} should be:\n{lacks}");
}

#[test]
fn the_transcripts_have_no_prompts_of_codex_and_no_names_of_a_machine() {
    let transcripts = Transcript::all();
    assert!(transcripts.len() > 10, "{}", transcripts.len());
    let directory = Transcript::directory();
    let mut bytes = 0;
    for transcript in &transcripts {
        let path = directory.join(&transcript.name).with_extension("jsonl");
        let text = fs::read_to_string(path).unwrap();
        bytes += text.len();
        for word in [
            "You are",
            "/tmp/",
            "/root/",
            "rawResponseItem/completed\",\"params",
        ] {
            assert!(!text.contains(word), "{} has {word:?}", transcript.name);
        }
    }
    assert!(bytes < 300_000, "{bytes} bytes");
}
