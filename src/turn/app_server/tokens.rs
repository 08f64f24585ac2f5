//! The tokens of a turn, of its thread, and of the context of its model.

use opentelemetry::KeyValue;

use crate::{event::names, turn::Usage};

/// What the server has told of tokens.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Those of the turn by the ends of its responses, which Codex tells of threads that this program has started.
    of_responses: Option<Usage>,
    /// Those of the turn by the totals of the thread.
    by_totals: Option<Usage>,
    thread: Option<Usage>,
    /// How many the context of the model has, and how many it can have, as far as Codex has told in the turn.
    in_context: Option<u64>,
    context_window: Option<u64>,
}

impl Tokens {
    /// Returns those of a turn in a thread that has used some before.
    pub(super) fn new(before: Option<Usage>) -> Self {
        Self {
            thread: before,
            ..Self::default()
        }
    }

    /// Notes what the thread has used before the turn.
    pub(super) const fn had_used(&mut self, total: Usage) {
        if self.by_totals.is_none() {
            self.thread = Some(total);
        }
    }

    /// Adds those of a response.
    pub(super) fn of_response(&mut self, usage: Usage) {
        *self.of_responses.get_or_insert_default() += usage;
    }

    /// Notes those of the thread, and of its last response. Returns what the turn has used since the last ones;
    /// `None` if Codex repeats them, as it does after a failure.
    pub(super) fn of_thread(
        &mut self,
        last: Usage,
        total: Usage,
        context_window: Option<u64>,
    ) -> Option<Usage> {
        self.context_window = context_window;
        let used = match self.thread.replace(total) {
            Some(before) => total.since(&before),
            None => last,
        };
        if used == Usage::default() {
            return None;
        }
        *self.by_totals.get_or_insert_default() += used;
        self.in_context = Some(last.input_tokens.saturating_add(last.output_tokens));
        Some(used)
    }

    /// Returns those of the turn.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.of_responses.or(self.by_totals)
    }

    /// Returns those of the thread.
    pub(super) const fn thread(&self) -> Option<Usage> {
        self.thread
    }

    /// Returns the attributes of the model's context.
    pub(super) fn of_context(&self) -> impl Iterator<Item = KeyValue> + use<> {
        let count = |key, count: Option<u64>| {
            let count = i64::try_from(count?).ok()?;
            Some(KeyValue::new(key, count))
        };
        let attributes = [
            count(names::CONTEXT_TOKENS, self.in_context),
            count(names::CONTEXT_WINDOW, self.context_window),
        ];
        attributes.into_iter().flatten()
    }
}
