use super::Item;

/// One step of a turn, as it happens.
///
/// ```
/// use codex_telemetry::turn::{ItemKind, Progress};
///
/// /// What to show of a step, if anything.
/// fn line(step: &Progress) -> Option<String> {
///     match step {
///         Progress::ItemStarted(item) => match &item.kind {
///             ItemKind::CommandExecution { command, .. } => Some(format!("$ {command}")),
///             _ => None,
///         },
///         Progress::Retrying { message } => Some(message.clone()),
///         _ => None,
///     }
/// }
/// # let step = Progress::Retrying { message: "once more".into() };
/// # assert_eq!(line(&step).as_deref(), Some("once more"));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Progress {
    /// The thread is there.
    ThreadStarted {
        /// Its id.
        thread_id: String,
    },
    /// The turn began.
    TurnStarted,
    /// An item began.
    ItemStarted(Item),
    /// An item changed.
    ItemUpdated(Item),
    /// An item ended.
    ItemCompleted(Item),
    /// Codex lost the model's provider and tries again.
    Retrying {
        /// Codex's own words.
        message: String,
    },
    /// Codex told of an error that has not ended the turn so far.
    Warning {
        /// Codex's own words.
        message: String,
    },
}
