//! What `codex-codes` decodes.

use codex_codes::{
    JsonRpcMessage, Notification, PatchChangeKind, RateLimitWindow, ServerMessage, ServerRequest,
    ThreadItem, ThreadItemPayload, TokenUsageBreakdown, TurnError,
    protocol::McpServerElicitationRequestParams,
};
use serde::Serialize;
use serde_json::Value;

use super::{Facts, put};

/// Decodes a notification; `None` if `codex-codes` does not know it.
pub(super) fn notification(line: &Value) -> Option<Facts> {
    let message = ServerMessage::from_value(line.clone()).expect("a message of codex-codes");
    let ServerMessage::Notification(message) = message else {
        panic!("not a notification: {line}");
    };
    let mut facts = Facts::from([("method", message.method().to_owned())]);
    match message {
        Notification::Unknown { .. } => return None,
        Notification::TurnStarted(n) => ids(&mut facts, n.thread_id, n.turn.id),
        Notification::TurnCompleted(n) => {
            ids(&mut facts, n.thread_id, n.turn.id);
            facts.insert("status", name(&n.turn.status));
            if let Some(error) = n.turn.error {
                failure(&mut facts, error);
            }
        }
        Notification::ItemStarted(n) => {
            ids(&mut facts, n.thread_id, n.turn_id);
            item(&mut facts, "started", n.item);
        }
        Notification::ItemCompleted(n) => {
            ids(&mut facts, n.thread_id, n.turn_id);
            item(&mut facts, "completed", n.item);
        }
        Notification::AgentMessageDelta(n) => {
            ids(&mut facts, n.thread_id, n.turn_id);
            delta(&mut facts, n.item_id, n.delta);
        }
        Notification::ReasoningDelta(n) => {
            ids(&mut facts, n.thread_id, n.turn_id);
            delta(&mut facts, n.item_id, n.delta);
        }
        Notification::ReasoningTextDelta(n) => {
            ids(&mut facts, n.thread_id, n.turn_id);
            delta(&mut facts, n.item_id, n.delta);
        }
        Notification::CmdOutputDelta(n) => {
            ids(&mut facts, n.thread_id, n.turn_id);
            delta(&mut facts, n.item_id, n.delta);
        }
        Notification::TurnPlanUpdated(n) => {
            ids(&mut facts, n.thread_id, n.turn_id);
            let steps = n.plan.iter().map(|step| {
                let is_completed = name(&step.status) == "completed";
                format!("{is_completed} {}; ", step.step)
            });
            facts.insert("plan", steps.collect());
        }
        Notification::ThreadTokenUsageUpdated(n) => {
            ids(&mut facts, n.thread_id, n.turn_id);
            facts.insert("last", tokens(&n.token_usage.last));
            facts.insert("total", tokens(&n.token_usage.total));
            put(&mut facts, "window", n.token_usage.model_context_window);
        }
        Notification::Error(n) => {
            ids(&mut facts, n.thread_id, n.turn_id);
            facts.insert("retry", n.will_retry.to_string());
            failure(&mut facts, n.error);
        }
        Notification::Warning(n) => {
            put(&mut facts, "thread", n.thread_id);
            facts.insert("message", n.message);
        }
        Notification::AccountRateLimitsUpdated(n) => {
            put(&mut facts, "limit", n.rate_limits.limit_id);
            put(
                &mut facts,
                "primary",
                n.rate_limits.primary.as_ref().map(window),
            );
            put(
                &mut facts,
                "secondary",
                n.rate_limits.secondary.as_ref().map(window),
            );
        }
        other => panic!("not compared: {other:?}"),
    }
    Some(facts)
}

/// Decodes a request of the server.
pub(super) fn question(line: &Value) -> Facts {
    let message = ServerMessage::from_value(line.clone()).expect("a message of codex-codes");
    let ServerMessage::Request { id, request } = message else {
        panic!("not a request: {line}");
    };
    let method = request.method().to_owned();
    let mut facts = Facts::from([("id", id.to_string()), ("method", method)]);
    match request {
        ServerRequest::CmdExecApproval(r) => {
            ids(&mut facts, r.thread_id, r.turn_id);
            facts.insert("item", r.item_id);
            put(&mut facts, "command", r.command);
            put(&mut facts, "cwd", r.cwd.as_ref().map(name));
            put(&mut facts, "reason", r.reason);
            let rule = r.proposed_execpolicy_amendment.unwrap_or_default();
            facts.insert("rule", rule.join(" "));
        }
        ServerRequest::FileChangeApproval(r) => {
            ids(&mut facts, r.thread_id, r.turn_id);
            facts.insert("item", r.item_id);
            put(&mut facts, "reason", r.reason);
            put(&mut facts, "root", r.grant_root);
        }
        ServerRequest::McpServerElicitationRequest(McpServerElicitationRequestParams::Form {
            _meta: meta,
            message,
            ..
        }) => {
            facts.insert("message", message);
            let tool = meta.as_ref().and_then(|meta| meta["tool_name"].as_str());
            put(&mut facts, "tool", tool);
        }
        ServerRequest::ItemToolCall(r) => ids(&mut facts, r.thread_id, r.turn_id),
        other => panic!("not compared: {other:?}"),
    }
    facts
}

/// Decodes an answer of the server.
pub(super) fn answer(line: &Value) -> Facts {
    let message = serde_json::from_value(line.clone()).expect("a message of codex-codes");
    let mut facts = Facts::new();
    match message {
        JsonRpcMessage::Response(answer) => {
            facts.insert("id", answer.id.to_string());
            facts.insert("result", answer.result.to_string());
        }
        JsonRpcMessage::Error(answer) => {
            facts.insert("id", answer.id.to_string());
            facts.insert("code", answer.error.code.to_string());
            facts.insert("message", answer.error.message);
        }
        other => panic!("not an answer: {other:?}"),
    }
    facts
}

fn ids(facts: &mut Facts, thread: String, turn: String) {
    facts.insert("thread", thread);
    facts.insert("turn", turn);
}

fn delta(facts: &mut Facts, item: String, delta: String) {
    facts.insert("item", item);
    facts.insert("delta", delta);
}

fn item(facts: &mut Facts, stage: &str, item: ThreadItem) {
    let (kind, id, status) = match item.payload {
        // The crate leaves it out: the request has it.
        ThreadItemPayload::UserMessage { .. } => return,
        ThreadItemPayload::AgentMessage { id, text, .. } => {
            facts.insert("text", text);
            ("agentMessage", id, None)
        }
        ThreadItemPayload::Reasoning { id, summary, .. } => {
            facts.insert("text", summary.unwrap_or_default().join("\n"));
            ("reasoning", id, None)
        }
        ThreadItemPayload::CommandExecution {
            aggregated_output,
            command,
            cwd,
            duration_ms,
            exit_code,
            id,
            status,
            ..
        } => {
            facts.insert("command", command);
            put(facts, "cwd", cwd.as_str());
            facts.insert("output", aggregated_output.unwrap_or_default());
            put(facts, "exit code", exit_code);
            put(facts, "duration", duration_ms);
            ("commandExecution", id, Some(name(&status)))
        }
        ThreadItemPayload::FileChange {
            changes,
            id,
            status,
        } => {
            let changes = changes.iter().map(|change| {
                let kind = match change.kind {
                    PatchChangeKind::Add => "add",
                    PatchChangeKind::Delete => "delete",
                    PatchChangeKind::Update { .. } => "update",
                };
                format!("{kind} {} {}; ", change.path, change.diff)
            });
            facts.insert("changes", changes.collect());
            ("fileChange", id, Some(name(&status)))
        }
        ThreadItemPayload::McpToolCall {
            duration_ms,
            error,
            id,
            server,
            status,
            tool,
            ..
        } => {
            facts.insert("server", server);
            facts.insert("tool", tool);
            put(facts, "error", error.map(|error| error.message));
            put(facts, "duration", duration_ms);
            ("mcpToolCall", id, Some(name(&status)))
        }
        ThreadItemPayload::DynamicToolCall {
            duration_ms,
            id,
            namespace,
            status,
            tool,
            ..
        } => {
            put(facts, "namespace", namespace);
            facts.insert("tool", tool);
            put(facts, "duration", duration_ms);
            ("dynamicToolCall", id, Some(name(&status)))
        }
        ThreadItemPayload::WebSearch { id, query, .. } => {
            facts.insert("query", query);
            ("webSearch", id, None)
        }
        ThreadItemPayload::ContextCompaction { id } => ("contextCompaction", id, None),
        other => panic!("not compared: {other:?}"),
    };
    facts.insert("stage", stage.to_owned());
    facts.insert("kind", kind.to_owned());
    facts.insert("item", id);
    put(facts, "status", status);
    put(facts, "started", item.started_at_ms);
    put(facts, "completed", item.completed_at_ms);
}

fn failure(facts: &mut Facts, error: TurnError) {
    facts.insert("message", error.message);
    put(facts, "details", error.additional_details);
    // Its names are those of the wire.
    match serde_json::to_value(error.codex_error_info).expect("an error info") {
        Value::String(kind) => {
            facts.insert("error", kind);
        }
        Value::Object(kinds) => {
            for (kind, details) in kinds {
                put(facts, "http status", details["httpStatusCode"].as_u64());
                facts.insert("error", kind);
            }
        }
        _ => {}
    }
}

/// Returns the name of a value that is a string on the wire.
fn name(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).expect("a value");
    value.as_str().expect("a name").to_owned()
}

fn tokens(usage: &TokenUsageBreakdown) -> String {
    format!(
        "{} {} {} {} {}",
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_input_tokens.unwrap_or_default(),
        usage.output_tokens,
        usage.reasoning_output_tokens
    )
}

fn window(window: &RateLimitWindow) -> String {
    let RateLimitWindow {
        resets_at,
        used_percent,
        window_duration_mins,
    } = window;
    format!("{used_percent} {window_duration_mins:?} {resets_at:?}")
}
