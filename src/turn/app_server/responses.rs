use opentelemetry::{KeyValue, StringValue};
use tokio::time::Instant;

use crate::{
    call::{CallContext, CallGuard},
    event::{Classification, Operation, names},
    turn::{Usage, calls::record_usage},
};

/// The responses of the model within a turn, as child calls of the turn's.
///
/// Codex does not tell when the model begins. A response begins with the turn, or with the end of the tools that
/// the response before it asked for. A call is opened once there is a sign of the response, and then begins
/// earlier.
///
/// Codex tells the end of a response, with its usage, of threads that this program has started. Of a thread that
/// was resumed it tells the usage alone, and after the tools: the response then ended with the start of the first
/// tool.
///
/// A command may go on while the model works. Then nobody tells when the response began, and its call begins with its
/// end: each usage is on a call, since the turn's own is not measured.
pub(super) struct Responses {
    model: Option<StringValue>,
    provider: Option<StringValue>,
    /// Since when the model may be working. `None` before the start of the turn and while tools run.
    since: Option<Since>,
    open: Option<Response>,
    /// Whether Codex has replaced the earlier conversation by a summary.
    is_compacted: bool,
    /// Whether Codex tells the ends of responses.
    has_ends: bool,
    /// Whether tools that start were asked for by the response that has ended last. Codex starts them one after the other,
    /// and one may end before the next one starts. It tells the usage of the thread after all of them.
    has_tools_to_start: bool,
    /// How many responses have ended.
    count: u32,
}

#[derive(Clone, Copy)]
struct Since {
    at: Instant,
    /// Whether the model works for sure: it has been given something to answer.
    is_certain: bool,
}

/// A response that has begun.
struct Response {
    call: CallGuard,
    since: Instant,
    /// The item that was started first, and when.
    first_item: Option<(String, Instant)>,
    /// When the first part of a text came. Without a part nothing is known: the model does not stream.
    first_token: Option<Instant>,
    /// When it was complete, if its usage is not known yet.
    completed: Option<Instant>,
}

impl Responses {
    pub(super) const fn new(model: Option<StringValue>) -> Self {
        Self {
            model,
            provider: None,
            since: None,
            open: None,
            is_compacted: false,
            has_ends: false,
            has_tools_to_start: false,
            count: 0,
        }
    }

    pub(super) fn set_provider(&mut self, provider: StringValue) {
        self.provider = Some(provider);
    }

    /// Returns how many responses there were, with one that has begun.
    pub(super) fn count(&self) -> u32 {
        self.count + u32::from(self.open.is_some())
    }

    /// Returns whether Codex tells the ends of responses.
    pub(super) const fn has_ends(&self) -> bool {
        self.has_ends
    }

    pub(super) fn set_model(&mut self, model: StringValue) {
        self.model = Some(model);
    }

    /// Codex has replaced the earlier conversation by a summary.
    pub(super) fn compacted(&mut self) {
        self.is_compacted = true;
    }

    /// The turn has begun, or the last of the tools that ran has ended: the model works.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since = Some(Since {
            at: now,
            is_certain: true,
        });
    }

    /// The model has begun an item of text.
    pub(super) fn item_started(&mut self, turn: &CallContext, item_id: &str, now: Instant) {
        if let Some(response) = self.sign(turn, now)
            && response.first_item.is_none()
        {
            response.first_item = Some((item_id.to_owned(), now));
        }
    }

    /// The model has written a part of a text. Returns when the response began to, if it is its first part.
    pub(super) fn delta(
        &mut self,
        turn: &CallContext,
        item_id: &str,
        now: Instant,
    ) -> Option<Instant> {
        let response = self.sign(turn, now)?;
        if response.first_token.is_some() {
            return None;
        }
        let began = response.first_item.take().filter(|(id, _)| id == item_id);
        let first = began.map_or(now, |(_, began)| began);
        response.first_token = Some(first);
        Some(first)
    }

    /// A tool has begun, so the response that asked for it is complete.
    pub(super) fn tool_started(&mut self, turn: &CallContext, now: Instant) {
        let is_sign = self.open.is_some()
            || (self.since.is_some_and(|since| since.is_certain) && !self.has_tools_to_start);
        // Otherwise the response that asked for it has ended before.
        if is_sign && let Some(response) = self.sign_of_end(turn, now) {
            response.completed.get_or_insert(now);
        }
        self.since = None;
    }

    /// A response is complete.
    pub(super) fn completed(
        &mut self,
        turn: &CallContext,
        id: Option<String>,
        usage: Option<Usage>,
        now: Instant,
    ) {
        self.has_ends = true;
        // Without a usage, that of the thread does not change.
        self.has_tools_to_start = usage.is_some_and(|usage| usage != Usage::default());
        self.ended(turn, id, usage, now);
    }

    /// The usage of the last response is known, and its tools have ended.
    pub(super) fn usage(&mut self, turn: &CallContext, usage: Usage, now: Instant) {
        self.has_tools_to_start = false;
        if self.has_ends {
            return;
        }
        self.ended(turn, None, Some(usage), now);
    }

    /// Codex has told that a response has ended. One of which there was no sign has its call all the same, for its
    /// tokens.
    fn ended(
        &mut self,
        turn: &CallContext,
        id: Option<String>,
        usage: Option<Usage>,
        now: Instant,
    ) {
        let had_ended = self.open.as_ref().is_some_and(Response::is_complete);
        let before = self.since;
        self.since = before.or(Some(Since {
            at: now,
            is_certain: false,
        }));
        self.sign_of_end(turn, now);
        self.finish(id, usage, now);
        self.since = match before {
            // Its tools run, or have ended since: the next one begins with their end.
            before if had_ended || before.is_none() => before,
            _ => Some(Since {
                at: now,
                is_certain: false,
            }),
        };
    }

    /// The turn has ended. A response that is not complete has failed with it; without a class it was complete.
    ///
    /// `failure` has what is recorded of a failure beside its class.
    pub(super) fn end(
        &mut self,
        turn: &CallContext,
        class: Option<Classification>,
        failure: Vec<KeyValue>,
        now: Instant,
    ) {
        if class.is_some() && self.since.is_some_and(|since| since.is_certain) {
            self.sign(turn, now);
        }
        self.since = None;
        match class {
            Some(class) => {
                if let Some(response) = self.open.take() {
                    self.count += 1;
                    if response.completed.is_some() {
                        response.finish(now);
                    } else {
                        for KeyValue { key, value, .. } in failure {
                            response.call.record(key, value);
                        }
                        response.call.fail(class);
                    }
                }
            }
            None => self.finish(None, None, now),
        }
    }

    /// Returns the response that has begun, and opens its call if this is the first sign of it.
    fn sign(&mut self, turn: &CallContext, now: Instant) -> Option<&mut Response> {
        if !self.has_ends && self.open.as_ref().is_some_and(Response::is_complete) {
            // The next one begins, and the usage of this one did not come.
            self.finish(None, None, now);
        }
        self.sign_of_end(turn, now)
    }

    /// Like [`sign`](Self::sign), of a response that may be complete.
    fn sign_of_end(&mut self, turn: &CallContext, now: Instant) -> Option<&mut Response> {
        if self.open.is_none() {
            let since = self.since?.at;
            let ago = now.saturating_duration_since(since);
            let call = turn.open_child_since(ago, Operation::Chat, self.model.clone(), None);
            if let Some(provider) = &self.provider {
                call.record(names::PROVIDER_NAME, provider.clone());
            }
            if self.is_compacted {
                call.record(names::CONVERSATION_COMPACTED, true);
            }
            self.open = Some(Response {
                call,
                since,
                first_item: None,
                first_token: None,
                completed: None,
            });
        }
        self.open.as_mut()
    }

    fn finish(&mut self, id: Option<String>, usage: Option<Usage>, now: Instant) {
        let Some(response) = self.open.take() else {
            return;
        };
        self.count += 1;
        if let Some(id) = id {
            response.call.record(names::RESPONSE_ID, id);
        }
        if let Some(usage) = &usage {
            record_usage(usage, |name, count| response.call.record(name, count));
        }
        response.finish(now);
    }
}

impl Response {
    fn is_complete(&self) -> bool {
        self.completed.is_some()
    }

    fn finish(self, now: Instant) {
        if let Some(first) = self.first_token {
            let after = first.saturating_duration_since(self.since);
            self.call
                .record(names::RESPONSE_TIME_TO_FIRST_CHUNK, after.as_secs_f64());
        }
        let ago = self
            .completed
            .map(|completed| now.saturating_duration_since(completed));
        self.call.finish_since(ago.unwrap_or_default());
    }
}
