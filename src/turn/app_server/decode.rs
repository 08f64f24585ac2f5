//! Decodes a line of the server, leniently.
//!
//! A field of another type counts as missing, and an unknown method or kind is kept by its name: each release of
//! Codex has new ones.

use serde_json::value::RawValue;

use super::items;
use crate::turn::{
    CodexErrorInfo, Item, Progress, RateLimitWindow, RateLimits, TodoItem, Usage, calls::Stage,
    wire::Fields,
};

/// A line of the server.
pub(super) enum Message<'a> {
    /// The answer to a request of this program.
    Answer {
        id: u64,
        answer: Result<Option<&'a RawValue>, Rejection>,
    },
    /// A request to this program. Its id can have any form.
    Request {
        id: &'a RawValue,
        method: String,
        params: Fields<'a>,
    },
    Notification {
        method: String,
        params: Fields<'a>,
    },
    /// Neither.
    Unknown,
}

/// The error with which the server answers a request.
#[derive(Debug)]
pub(super) struct Rejection {
    pub(super) code: i64,
    pub(super) message: String,
}

/// What a notification tells of a turn.
#[derive(Debug)]
pub(super) enum Update {
    TurnStarted,
    TurnCompleted(TurnEnd),
    Item {
        stage: Stage,
        item: Item,
    },
    /// Something that the user said, which the request has.
    UserItem,
    /// The agent wrote a part of a message, or the model a part of its reasoning, or a command of its output.
    Delta {
        item_id: String,
        progress: Progress,
    },
    Plan(Vec<TodoItem>),
    /// A response of the model is complete.
    Response {
        id: Option<String>,
        usage: Option<Usage>,
    },
    TokenUsage {
        last: Usage,
        total: Usage,
        context_window: Option<u64>,
    },
    Error {
        will_retry: bool,
        error: TurnFailure,
    },
    Warning(String),
    RateLimits(RateLimits),
}

/// How a turn ended.
#[derive(Debug)]
pub(super) struct TurnEnd {
    pub(super) status: String,
    pub(super) error: Option<TurnFailure>,
}

/// An error of a turn.
#[derive(Debug)]
pub(super) struct TurnFailure {
    pub(super) message: String,
    pub(super) info: Option<CodexErrorInfo>,
    pub(super) details: Option<String>,
}

/// Decodes a line; `None` if it is no JSON object.
pub(super) fn message(line: &[u8]) -> Option<Message<'_>> {
    let mut fields = Fields::from_line(line).ok()?;
    let params = fields.take_part("params").unwrap_or_default();
    Some(match (fields.text("method"), fields.get("id")) {
        (Some(method), Some(id)) => Message::Request { id, method, params },
        (Some(method), None) => Message::Notification { method, params },
        (None, Some(_)) => match fields.value("id") {
            Some(id) => Message::Answer {
                id,
                answer: match fields.get("error") {
                    // One of another form is an error as well.
                    Some(_) => Err(rejection(&fields.object("error").unwrap_or_default())),
                    None => Ok(fields.get("result")),
                },
            },
            None => Message::Unknown,
        },
        (None, None) => Message::Unknown,
    })
}

/// Decodes a notification; `None` if its method is unknown or ignored, or if it lacks what it is about.
pub(super) fn update(method: &str, params: &Fields<'_>) -> Option<Update> {
    let delta = |progress: fn(String, String) -> Progress| {
        let (item_id, delta) = (params.text("itemId")?, params.text("delta")?);
        Some(Update::Delta {
            item_id: item_id.clone(),
            progress: progress(item_id, delta),
        })
    };
    match method {
        "turn/started" => Some(Update::TurnStarted),
        "turn/completed" => Some(Update::TurnCompleted(turn_end(&params.object("turn")?))),
        "item/started" => item(Stage::Started, params),
        "item/completed" => item(Stage::Completed, params),
        "item/agentMessage/delta" => {
            delta(|item_id, delta| Progress::MessageDelta { item_id, delta })
        }
        "item/reasoning/summaryTextDelta" | "item/reasoning/textDelta" => {
            delta(|item_id, delta| Progress::ReasoningDelta { item_id, delta })
        }
        "item/commandExecution/outputDelta" => {
            delta(|item_id, delta| Progress::OutputDelta { item_id, delta })
        }
        "turn/plan/updated" => Some(Update::Plan(params.list("plan", plan_step))),
        "rawResponse/completed" => Some(Update::Response {
            id: params.text("responseId"),
            usage: params.object("usage").as_ref().and_then(usage),
        }),
        "thread/tokenUsage/updated" => {
            let of_thread = params.object("tokenUsage")?;
            Some(Update::TokenUsage {
                last: usage(&of_thread.object("last")?)?,
                total: usage(&of_thread.object("total")?)?,
                context_window: of_thread.value("modelContextWindow"),
            })
        }
        "error" => Some(Update::Error {
            will_retry: params.value("willRetry").unwrap_or_default(),
            error: failure(&params.object("error")?),
        }),
        "warning" => Some(Update::Warning(params.text("message")?)),
        "account/rateLimits/updated" => Some(Update::RateLimits(rate_limits(
            &params.object("rateLimits")?,
        ))),
        _ => None,
    }
}

/// Returns the ids of the thread and the turn that a message is about.
pub(super) fn ids(params: &Fields<'_>) -> (Option<String>, Option<String>) {
    let turn = || params.object("turn")?.text("id");
    (params.text("threadId"), params.text("turnId").or_else(turn))
}

fn rejection(error: &Fields<'_>) -> Rejection {
    Rejection {
        code: error.value("code").unwrap_or_default(),
        message: error.text("message").unwrap_or_default(),
    }
}

fn item(stage: Stage, params: &Fields<'_>) -> Option<Update> {
    let fields = params.part("item")?;
    if items::is_of_user(fields) {
        return Some(Update::UserItem);
    }
    let item = items::item(fields)?;
    Some(Update::Item { stage, item })
}

fn turn_end(turn: &Fields<'_>) -> TurnEnd {
    TurnEnd {
        status: turn.text("status").unwrap_or_default(),
        error: turn.object("error").as_ref().map(failure),
    }
}

fn failure(error: &Fields<'_>) -> TurnFailure {
    TurnFailure {
        message: error.text("message").unwrap_or_default(),
        info: error.get("codexErrorInfo").and_then(error_info),
        details: error.text("additionalDetails"),
    }
}

/// Decodes a kind of error: its name, or an object with the name as its only key.
fn error_info(info: &RawValue) -> Option<CodexErrorInfo> {
    if let Ok(kind) = serde_json::from_str::<String>(info.get()) {
        return Some(CodexErrorInfo::new(kind));
    }
    let object: serde_json::Map<_, _> = serde_json::from_str(info.get()).ok()?;
    let (kind, details) = object.into_iter().next()?;
    let status = details
        .get("httpStatusCode")
        .and_then(serde_json::Value::as_u64);
    let info = CodexErrorInfo::new(kind);
    Some(match status.and_then(|status| u16::try_from(status).ok()) {
        Some(status) => info.with_http_status(status),
        None => info,
    })
}

fn plan_step(step: &Fields<'_>) -> Option<TodoItem> {
    let is_completed = step.text("status").as_deref() == Some("completed");
    Some(TodoItem::new(step.text("step")?, is_completed))
}

/// Decodes token counts; `None` when the first of them is missing.
fn usage(fields: &Fields<'_>) -> Option<Usage> {
    let count = |key| fields.value::<u64>(key);
    Some(Usage {
        input_tokens: count("inputTokens")?,
        cached_input_tokens: count("cachedInputTokens").unwrap_or_default(),
        cache_write_input_tokens: count("cacheWriteInputTokens").unwrap_or_default(),
        output_tokens: count("outputTokens").unwrap_or_default(),
        reasoning_output_tokens: count("reasoningOutputTokens").unwrap_or_default(),
    })
}

fn rate_limits(limits: &Fields<'_>) -> RateLimits {
    let window = |key| {
        let window = limits.object(key)?;
        Some(RateLimitWindow {
            used_percent: window.value("usedPercent")?,
            window_minutes: window.value("windowDurationMins"),
            resets_at: window.value("resetsAt"),
        })
    };
    RateLimits {
        limit_id: limits.text("limitId"),
        primary: window("primary"),
        secondary: window("secondary"),
        plan: limits.text("planType"),
        reached: limits.text("rateLimitReachedType"),
    }
}

// === impl Rejection ===

impl Rejection {
    /// Returns whether a thread could not be loaded because the server is unloading it. The code is that of any bad
    /// request.
    pub(super) fn is_closing(&self) -> bool {
        self.message.contains("is closing")
    }
}
