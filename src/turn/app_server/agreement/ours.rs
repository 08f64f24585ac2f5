//! What this crate decodes.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Facts, put};
use crate::{
    approval::Action,
    turn::{
        Item, ItemKind, ItemStatus, Progress, RateLimitWindow, Usage,
        app_server::{
            approvals::{self, Incoming},
            decode::{self, Message, TurnFailure, Update},
        },
        calls::Stage,
    },
};

/// Decodes a notification; `None` if the crate ignores it.
pub(super) fn notification(line: &str) -> Option<Facts> {
    let Some(Message::Notification { method, params }) = decode::message(line.as_bytes()) else {
        panic!("not a notification: {line}");
    };
    let update = decode::update(&method, &params)?;
    let (thread, turn) = decode::ids(&params);
    let mut facts = Facts::from([("method", method)]);
    put(&mut facts, "thread", thread);
    put(&mut facts, "turn", turn);
    match update {
        Update::TurnStarted | Update::UserItem => {}
        Update::TurnCompleted(end) => {
            facts.insert("status", end.status);
            if let Some(error) = end.error {
                failure(&mut facts, error);
            }
        }
        Update::Item { stage, item: of } => {
            let stage = match stage {
                Stage::Started => "started",
                Stage::Updated => "updated",
                Stage::Completed => "completed",
            };
            facts.insert("stage", stage.to_owned());
            item(&mut facts, of);
        }
        Update::Delta { item_id, progress } => {
            facts.insert("item", item_id);
            if let Progress::MessageDelta { delta, .. }
            | Progress::ReasoningDelta { delta, .. }
            | Progress::OutputDelta { delta, .. } = progress
            {
                facts.insert("delta", delta);
            }
        }
        Update::Plan(steps) => {
            let steps = steps
                .iter()
                .map(|step| format!("{} {}; ", step.completed, step.text));
            facts.insert("plan", steps.collect());
        }
        Update::Response { id, usage } => {
            put(&mut facts, "response", id);
            put(&mut facts, "usage", usage.map(tokens));
        }
        Update::TokenUsage {
            last,
            total,
            context_window,
        } => {
            facts.insert("last", tokens(last));
            facts.insert("total", tokens(total));
            put(&mut facts, "window", context_window);
        }
        Update::Error { will_retry, error } => {
            facts.insert("retry", will_retry.to_string());
            failure(&mut facts, error);
        }
        Update::Warning(message) => {
            facts.insert("message", message);
        }
        Update::RateLimits(limits) => {
            put(&mut facts, "limit", limits.limit_id);
            put(&mut facts, "primary", limits.primary.map(window));
            put(&mut facts, "secondary", limits.secondary.map(window));
        }
    }
    Some(facts)
}

/// Decodes a request of the server.
pub(super) fn question(line: &str) -> Facts {
    let Some(Message::Request { id, method, params }) = decode::message(line.as_bytes()) else {
        panic!("not a request: {line}");
    };
    let mut facts = Facts::from([("id", id.to_string()), ("method", method.clone())]);
    // What `codex-codes` has of an elicitation has no ids and no server.
    if method != "mcpServer/elicitation/request" {
        let (thread, turn) = decode::ids(&params);
        put(&mut facts, "thread", thread);
        put(&mut facts, "turn", turn);
    }
    if let Incoming::Ask(asked) = approvals::decode(&method, &params) {
        put(&mut facts, "item", asked.item_id);
        match asked.action {
            Action::Command {
                command,
                cwd,
                reason,
                execpolicy_amendment,
                ..
            } => {
                facts.insert("command", command);
                put(
                    &mut facts,
                    "cwd",
                    cwd.map(|path| path.display().to_string()),
                );
                put(&mut facts, "reason", reason);
                facts.insert("rule", execpolicy_amendment.join(" "));
            }
            Action::FileChange {
                reason, grant_root, ..
            } => {
                put(&mut facts, "reason", reason);
                put(
                    &mut facts,
                    "root",
                    grant_root.map(|path| path.display().to_string()),
                );
            }
            Action::McpToolCall { message, .. } => {
                facts.insert("message", message);
                facts.insert("tool", asked.tool.to_string());
            }
            other => panic!("not recorded: {other:?}"),
        }
    }
    facts
}

/// Decodes an answer of the server.
pub(super) fn answer(line: &str) -> Facts {
    let Some(Message::Answer { id, answer }) = decode::message(line.as_bytes()) else {
        panic!("not an answer: {line}");
    };
    let mut facts = Facts::from([("id", id.to_string())]);
    match answer {
        Ok(result) => put(&mut facts, "result", result),
        Err(error) => {
            facts.insert("code", error.code.to_string());
            facts.insert("message", error.message);
        }
    }
    facts
}

fn item(facts: &mut Facts, item: Item) {
    facts.insert("item", item.id);
    put(facts, "started", item.started_at.map(millis));
    put(facts, "completed", item.completed_at.map(millis));
    put(
        facts,
        "duration",
        item.duration.map(|time| time.as_millis()),
    );
    let kind = match item.kind {
        ItemKind::AgentMessage { text } => {
            facts.insert("text", text);
            "agentMessage"
        }
        ItemKind::Reasoning { text } => {
            facts.insert("text", text);
            "reasoning"
        }
        ItemKind::CommandExecution {
            command,
            cwd,
            output,
            exit_code,
            status: of,
        } => {
            facts.insert("command", command);
            put(facts, "cwd", cwd.map(|path| path.display().to_string()));
            facts.insert("output", output.into());
            put(facts, "exit code", exit_code);
            facts.insert("status", status(of));
            "commandExecution"
        }
        ItemKind::FileChange {
            changes,
            status: of,
        } => {
            let changes = changes.iter().map(|change| {
                let diff = change.diff().unwrap_or_default();
                format!("{} {} {diff}; ", change.kind, change.path.display())
            });
            facts.insert("changes", changes.collect());
            facts.insert("status", status(of));
            "fileChange"
        }
        ItemKind::McpToolCall {
            server,
            tool,
            error,
            status: of,
            ..
        } => {
            facts.insert("server", server);
            facts.insert("tool", tool);
            put(facts, "error", error);
            facts.insert("status", status(of));
            "mcpToolCall"
        }
        ItemKind::DynamicToolCall {
            namespace,
            tool,
            status: of,
            ..
        } => {
            put(facts, "namespace", namespace);
            facts.insert("tool", tool);
            facts.insert("status", status(of));
            "dynamicToolCall"
        }
        ItemKind::WebSearch { query, .. } => {
            facts.insert("query", query);
            "webSearch"
        }
        ItemKind::ContextCompaction => "contextCompaction",
        other => panic!("not recorded: {other:?}"),
    };
    facts.insert("kind", kind.to_owned());
}

fn failure(facts: &mut Facts, error: TurnFailure) {
    facts.insert("message", error.message);
    put(facts, "details", error.details);
    if let Some(info) = error.info {
        put(facts, "http status", info.http_status);
        facts.insert("error", info.kind);
    }
}

fn status(status: ItemStatus) -> String {
    match status {
        ItemStatus::InProgress => "inProgress".to_owned(),
        ItemStatus::Completed => "completed".to_owned(),
        ItemStatus::Failed => "failed".to_owned(),
        ItemStatus::Declined => "declined".to_owned(),
        ItemStatus::Other(name) => name,
    }
}

fn tokens(usage: Usage) -> String {
    let Usage {
        input_tokens: input,
        cached_input_tokens: cached,
        cache_write_input_tokens: written,
        output_tokens: output,
        reasoning_output_tokens: reasoning,
    } = usage;
    format!("{input} {cached} {written} {output} {reasoning}")
}

fn window(window: RateLimitWindow) -> String {
    let RateLimitWindow {
        used_percent,
        window_minutes,
        resets_at,
    } = window;
    format!("{used_percent} {window_minutes:?} {resets_at:?}")
}

fn millis(time: SystemTime) -> u128 {
    let since = time.duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_millis()
}
