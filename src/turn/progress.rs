use std::fmt;

use super::{Item, RateLimits, TodoItem, Usage, item::hidden};

/// One event of a turn while it runs.
///
/// `codex exec` reports items as a whole, [retries](Self::Retrying) and [warnings](Self::Warning). The app-server
/// also reports the parts of a message while it is written, the output of a command, the plan, tokens, limits and
/// compactions.
///
/// Its `Debug` shows sizes instead of content. As JSON, with the feature `json`, what `codex exec` reports has the
/// form of its own events, such as `{"type":"item.started","item":{…}}`. All else has a `type` in the same style,
/// which each variant names, and its fields beside it.
///
/// ```
/// use codex_telemetry::turn::{ItemKind, Progress};
///
/// /// Returns a line to display, if there is one.
/// fn line(progress: &Progress) -> Option<String> {
///     match progress {
///         Progress::ItemStarted(item) => match &item.kind {
///             ItemKind::CommandExecution { command, .. } => Some(format!("$ {command}")),
///             _ => None,
///         },
///         Progress::Retrying { message } => Some(message.clone()),
///         _ => None,
///     }
/// }
///
/// let progress = Progress::Retrying { message: "once more".into() };
/// assert_eq!(line(&progress).as_deref(), Some("once more"));
/// assert_eq!(line(&Progress::TurnStarted), None);
/// ```
#[derive(Clone, PartialEq)]
#[cfg_attr(feature = "json", derive(serde::Serialize), serde(tag = "type"))]
#[non_exhaustive]
pub enum Progress {
    /// Codex opened the thread.
    #[cfg_attr(feature = "json", serde(rename = "thread.started"))]
    ThreadStarted {
        /// The id of the thread.
        thread_id: String,
    },
    /// The turn started.
    #[cfg_attr(feature = "json", serde(rename = "turn.started"))]
    TurnStarted,
    /// An item started.
    #[cfg_attr(
        feature = "json",
        serde(rename = "item.started", serialize_with = "item_field")
    )]
    ItemStarted(Item),
    /// An item changed.
    #[cfg_attr(
        feature = "json",
        serde(rename = "item.updated", serialize_with = "item_field")
    )]
    ItemUpdated(Item),
    /// An item completed, with success or not.
    #[cfg_attr(
        feature = "json",
        serde(rename = "item.completed", serialize_with = "item_field")
    )]
    ItemCompleted(Item),
    /// The agent wrote a part of a message: `item.agent_message.delta`. The completed item has the whole message.
    #[cfg_attr(feature = "json", serde(rename = "item.agent_message.delta"))]
    MessageDelta {
        /// The id of the item.
        item_id: String,
        /// The part.
        delta: String,
    },
    /// The model wrote a part of a summary of its reasoning: `item.reasoning.delta`.
    #[cfg_attr(feature = "json", serde(rename = "item.reasoning.delta"))]
    ReasoningDelta {
        /// The id of the item.
        item_id: String,
        /// The part.
        delta: String,
    },
    /// A command wrote output: `item.command_execution.delta`. A part may be missing here; the completed item has
    /// it.
    #[cfg_attr(feature = "json", serde(rename = "item.command_execution.delta"))]
    OutputDelta {
        /// The id of the item.
        item_id: String,
        /// The part.
        delta: String,
    },
    /// The agent changed its plan: `turn.plan.updated`.
    #[cfg_attr(feature = "json", serde(rename = "turn.plan.updated"))]
    PlanUpdated {
        /// The steps.
        items: Vec<TodoItem>,
    },
    /// The model completed a response: `thread.token_usage.updated`.
    #[cfg_attr(feature = "json", serde(rename = "thread.token_usage.updated"))]
    TokenUsage {
        /// What the response used.
        last: Usage,
        /// What the thread has used so far.
        total: Usage,
        /// The size of the model's context window, in tokens.
        context_window: Option<u64>,
    },
    /// The provider told how much of the account's limits is used: `account.rate_limits.updated`, with the field
    /// `rate_limits`.
    #[cfg_attr(
        feature = "json",
        serde(
            rename = "account.rate_limits.updated",
            serialize_with = "rate_limits_field"
        )
    )]
    RateLimits(RateLimits),
    /// Codex replaced the earlier conversation by a summary: `thread.compacted`.
    #[cfg_attr(feature = "json", serde(rename = "thread.compacted"))]
    Compacted,
    /// Codex lost the model's provider and reconnects: `retrying`.
    #[cfg_attr(feature = "json", serde(rename = "retrying"))]
    Retrying {
        /// Codex's own message.
        message: String,
    },
    /// Codex reported an error that has not ended the turn so far: `warning`.
    #[cfg_attr(feature = "json", serde(rename = "warning"))]
    Warning {
        /// Codex's own message.
        message: String,
    },
}

// === impl Progress ===

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delta = |f: &mut fmt::Formatter<'_>, name, item_id: &str, delta: &str| {
            let mut shown = f.debug_struct(name);
            shown.field("item_id", &item_id);
            shown.field("delta", &hidden(delta)).finish()
        };
        let message = |f: &mut fmt::Formatter<'_>, name, message: &str| {
            let mut shown = f.debug_struct(name);
            shown.field("message", &hidden(message)).finish()
        };
        match self {
            Self::ThreadStarted { thread_id } => f
                .debug_struct("ThreadStarted")
                .field("thread_id", thread_id)
                .finish(),
            Self::TurnStarted => f.write_str("TurnStarted"),
            Self::ItemStarted(item) => f.debug_tuple("ItemStarted").field(item).finish(),
            Self::ItemUpdated(item) => f.debug_tuple("ItemUpdated").field(item).finish(),
            Self::ItemCompleted(item) => f.debug_tuple("ItemCompleted").field(item).finish(),
            Self::MessageDelta { item_id, delta: it } => delta(f, "MessageDelta", item_id, it),
            Self::ReasoningDelta { item_id, delta: it } => delta(f, "ReasoningDelta", item_id, it),
            Self::OutputDelta { item_id, delta: it } => delta(f, "OutputDelta", item_id, it),
            Self::PlanUpdated { items } => f
                .debug_struct("PlanUpdated")
                .field("items", &items.len())
                .finish(),
            Self::TokenUsage {
                last,
                total,
                context_window,
            } => f
                .debug_struct("TokenUsage")
                .field("last", last)
                .field("total", total)
                .field("context_window", context_window)
                .finish(),
            Self::RateLimits(limits) => f.debug_tuple("RateLimits").field(limits).finish(),
            Self::Compacted => f.write_str("Compacted"),
            Self::Retrying { message: it } => message(f, "Retrying", it),
            Self::Warning { message: it } => message(f, "Warning", it),
        }
    }
}

/// Writes the limits as the field `rate_limits`.
#[cfg(feature = "json")]
fn rate_limits_field<S: serde::Serializer>(
    rate_limits: &RateLimits,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(serde::Serialize)]
    struct Fields<'a> {
        rate_limits: &'a RateLimits,
    }

    serde::Serialize::serialize(&Fields { rate_limits }, serializer)
}

/// Writes the item as the field `item`: both it and the event have a `type`.
#[cfg(feature = "json")]
fn item_field<S: serde::Serializer>(item: &Item, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(serde::Serialize)]
    struct Fields<'a> {
        item: &'a Item,
    }

    serde::Serialize::serialize(&Fields { item }, serializer)
}
