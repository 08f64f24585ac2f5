use std::fmt;

use super::{Item, Usage, item::hidden};
use crate::event::Phases;

/// The result of a turn that completed.
///
/// Its `Debug` shows sizes instead of content.
///
/// ```
/// use codex_telemetry::{
///     Phase, Phases,
///     turn::{Item, ItemKind, Turn, Usage},
/// };
/// use std::time::Duration;
///
/// // What a fake of a turn service returns.
/// let hello = ItemKind::AgentMessage { text: "hello".into() };
/// let mut usage = Usage::default();
/// usage.output_tokens = 2;
/// let turn = Turn::new()
///     .with_thread_id("t")
///     .with_final_message("hello")
///     .with_items([Item::new("item_0", hello)])
///     .with_usage(usage)
///     .with_phases(Phases::new().with(Phase::Model, Duration::from_secs(1)));
/// assert_eq!(turn.items.len(), 1);
/// assert_eq!(turn.phases.last(), Some(Phase::Model));
/// assert!(!format!("{turn:?}").contains("hello"));
/// ```
#[derive(Clone, Default, PartialEq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Turn {
    /// The id of the thread; [`TurnRequest::with_resume`](super::TurnRequest::with_resume) takes it.
    pub thread_id: Option<String>,
    /// The id of the turn. `codex exec` does not tell it.
    pub turn_id: Option<String>,
    /// The last message of the agent.
    pub final_message: Option<String>,
    /// The items that the turn completed, in the order of their completion.
    pub items: Vec<Item>,
    /// What this turn used; `None` when the earlier total of a resumed thread is unknown.
    pub usage: Option<Usage>,
    /// What the whole thread has used so far.
    pub thread_usage: Option<Usage>,
    /// Where the time went until the service returned, since the call of the turn began. A turn without an open call has
    /// its phases as well, since the service was called.
    pub phases: Phases,
    /// How often Codex reconnected to the model's provider.
    pub retries: u32,
    /// The number of events and items whose kind is unknown to this version of the crate.
    pub unknown_events: u32,
}

impl Turn {
    /// Returns an empty result.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the id of the thread.
    #[must_use]
    pub fn with_thread_id(mut self, id: impl Into<String>) -> Self {
        self.thread_id = Some(id.into());
        self
    }

    /// Sets the last message of the agent.
    #[must_use]
    pub fn with_final_message(mut self, text: impl Into<String>) -> Self {
        self.final_message = Some(text.into());
        self
    }

    /// Sets the items.
    #[must_use]
    pub fn with_items(mut self, items: impl IntoIterator<Item = Item>) -> Self {
        self.items = items.into_iter().collect();
        self
    }

    /// Sets where the time went.
    #[must_use]
    pub fn with_phases(mut self, phases: Phases) -> Self {
        self.phases = phases;
        self
    }

    /// Sets what the turn used.
    #[must_use]
    pub fn with_usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("thread_id", &self.thread_id)
            .field("turn_id", &self.turn_id)
            .field("final_message", &self.final_message.as_deref().map(hidden))
            .field("items", &self.items)
            .field("usage", &self.usage)
            .field("phases", &self.phases)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}
