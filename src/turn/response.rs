use std::fmt;

use super::{Item, item::hidden};

/// What came of a turn that completed.
///
/// Its `Debug` shows sizes instead of content.
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Turn {
    /// The id of the thread, to go on with by
    /// [`TurnRequest::with_resume`](super::TurnRequest::with_resume).
    pub thread_id: Option<String>,
    /// The last message of the agent.
    pub final_message: Option<String>,
    /// Everything the agent did, in the order in which it was completed; what was not completed by the
    /// end of the turn is not among it.
    pub items: Vec<Item>,
    /// What this turn used; `None` when a resumed thread's earlier total is not known.
    pub usage: Option<Usage>,
    /// What the whole thread has used so far.
    pub thread_usage: Option<Usage>,
    /// How often Codex reconnected to the model's provider.
    pub retries: u32,
    /// How many events and items of kinds that this version of the crate does not know.
    pub unknown_events: u32,
}

/// Tokens that were used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens that went into the model, cached ones included.
    pub input_tokens: u64,
    /// Input tokens that came from the provider's cache.
    pub cached_input_tokens: u64,
    /// Input tokens that were written to the provider's cache.
    pub cache_write_input_tokens: u64,
    /// Tokens that the model wrote.
    pub output_tokens: u64,
    /// Output tokens that were spent on reasoning.
    pub reasoning_output_tokens: u64,
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("thread_id", &self.thread_id)
            .field("final_message", &self.final_message.as_deref().map(hidden))
            .field("items", &self.items)
            .field("usage", &self.usage)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}

impl Usage {
    /// Returns what was used since `earlier`, a smaller count of the same thread.
    ///
    /// A part that has shrunk counts as zero: Codex starts over when it forgets a thread.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_sub(earlier.input_tokens),
            cached_input_tokens: self
                .cached_input_tokens
                .saturating_sub(earlier.cached_input_tokens),
            cache_write_input_tokens: self
                .cache_write_input_tokens
                .saturating_sub(earlier.cache_write_input_tokens),
            output_tokens: self.output_tokens.saturating_sub(earlier.output_tokens),
            reasoning_output_tokens: self
                .reasoning_output_tokens
                .saturating_sub(earlier.reasoning_output_tokens),
        }
    }
}
