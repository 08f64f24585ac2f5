use super::{Item, RateLimits, TodoItem, Usage};

/// One event of a turn while it runs.
///
/// As JSON, with the feature `json`, the first five have the form of Codex's own events, such as
/// `{"type":"item.started","item":{…}}`; the other two are `retrying` and `warning`, with a `message`.
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
/// # let progress = Progress::Retrying { message: "once more".into() };
/// # assert_eq!(line(&progress).as_deref(), Some("once more"));
/// ```
#[derive(Clone, Debug, PartialEq)]
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
    /// The agent wrote a part of a message. The item has the whole message once it is complete.
    #[cfg_attr(feature = "json", serde(rename = "item.agent_message.delta"))]
    MessageDelta {
        /// The id of the item.
        item_id: String,
        /// The part.
        delta: String,
    },
    /// The model wrote a part of a summary of its reasoning.
    #[cfg_attr(feature = "json", serde(rename = "item.reasoning.delta"))]
    ReasoningDelta {
        /// The id of the item.
        item_id: String,
        /// The part.
        delta: String,
    },
    /// A command wrote output. A part may be missing here; the completed item has it.
    #[cfg_attr(feature = "json", serde(rename = "item.command_execution.delta"))]
    OutputDelta {
        /// The id of the item.
        item_id: String,
        /// The part.
        delta: String,
    },
    /// The agent changed its plan.
    #[cfg_attr(feature = "json", serde(rename = "turn.plan.updated"))]
    PlanUpdated {
        /// The steps.
        items: Vec<TodoItem>,
    },
    /// The model completed a response.
    #[cfg_attr(feature = "json", serde(rename = "thread.token_usage.updated"))]
    TokenUsage {
        /// What the response used.
        last: Usage,
        /// What the thread has used so far.
        total: Usage,
        /// The size of the model's context window, in tokens.
        context_window: Option<u64>,
    },
    /// The provider told how much of the account's limits is used.
    #[cfg_attr(feature = "json", serde(rename = "account.rate_limits.updated"))]
    RateLimits(RateLimits),
    /// Codex replaced the earlier conversation by a summary.
    #[cfg_attr(feature = "json", serde(rename = "thread.compacted"))]
    Compacted,
    /// Codex lost the model's provider and reconnects.
    #[cfg_attr(feature = "json", serde(rename = "retrying"))]
    Retrying {
        /// Codex's own message.
        message: String,
    },
    /// Codex reported an error that has not ended the turn so far.
    #[cfg_attr(feature = "json", serde(rename = "warning"))]
    Warning {
        /// Codex's own message.
        message: String,
    },
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
