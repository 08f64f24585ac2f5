use std::{collections::VecDeque, sync::Arc};

use opentelemetry::{KeyValue, StringValue};
use tokio::time::Instant;

use crate::turn::app_server::{
    attributes,
    decode::{TurnEnd, TurnFailure, Update},
    responses::Responses,
    slot::Question,
    tokens::Tokens,
};
use crate::{
    call::{CallContext, CodexRequest},
    event::{ErrorClass, PhaseClock, names},
    turn::{
        Item, ItemKind, Progress, RateLimits, Turn, TurnError, TurnRequest, Usage,
        calls::{OpenTools, Stage, TurnStats, content},
        failure,
        progress_queue::ProgressQueue,
        served_calls::ServedCalls,
    },
};

/// The state of a turn: the result of what the server has told of it so far.
pub(in crate::turn::app_server) struct TurnState {
    // Dropped before the stats, so that the calls inside of the turn end before the stats are recorded.
    pub(super) tools: OpenTools,
    responses: Responses,
    stats: TurnStats,
    pub(super) phases: Arc<PhaseClock>,
    context: CallContext,
    pub(in crate::turn::app_server) progress: ProgressQueue,
    turn: Turn,
    /// How Codex ended the turn, once it has.
    pub(super) ending: Option<Result<(), TurnError>>,
    began: Option<Instant>,
    /// When the first part of a text came.
    first_token: Option<Instant>,
    /// Whether a text came as a whole before that: when it began is unknown.
    has_whole_text: bool,
    rate_limits: Option<RateLimits>,
    pub(super) questions: VecDeque<Box<Question>>,
    /// How many bytes the server may still write about the turn.
    output_left: usize,
    output_limit: usize,
    tokens: Tokens,
    /// The tool whose approver cancelled the turn.
    pub(super) cancelled_by: Option<String>,
    is_stopped: bool,
}

impl TurnState {
    /// Returns the state of a turn in a thread that has used some tokens before.
    pub(in crate::turn::app_server) fn new(
        request: &TurnRequest,
        thread_id: &str,
        before: Option<Usage>,
        output_limit: usize,
        has_host_tools: bool,
        phases: &Arc<PhaseClock>,
    ) -> Self {
        let context = request.context().clone();
        context.record_thread_id(thread_id.to_owned());
        let mut turn = Turn::new();
        turn.thread_id = Some(thread_id.to_owned());
        let mut state = Self {
            tools: OpenTools::of_calls(request.sandbox(), has_host_tools),
            responses: Responses::new(request.model().map(|model| model.to_owned().into())),
            stats: TurnStats::new(request.clone()),
            phases: Arc::clone(phases),
            context,
            progress: ProgressQueue::new(request.progress().cloned()),
            turn,
            ending: None,
            began: None,
            first_token: None,
            has_whole_text: false,
            rate_limits: None,
            questions: VecDeque::new(),
            output_left: output_limit,
            output_limit,
            tokens: Tokens::new(before),
            cancelled_by: None,
            is_stopped: false,
        };
        state.push(|| Progress::ThreadStarted {
            thread_id: thread_id.to_owned(),
        });
        state
    }

    /// Sets the model and its provider, as the server knows them.
    pub(in crate::turn::app_server) fn set_model(
        &mut self,
        model: Option<StringValue>,
        provider: Option<StringValue>,
    ) {
        if let Some(model) = model {
            self.context.record(names::REQUEST_MODEL, model.clone());
            self.responses.set_model(model);
        }
        if let Some(provider) = provider {
            self.context.record(names::PROVIDER_NAME, provider.clone());
            self.responses.set_provider(provider);
        }
    }

    /// Sets the MCP server that has the program's tools, and their calls.
    pub(in crate::turn::app_server) fn set_mcp_server(
        &mut self,
        server: String,
        calls: ServedCalls,
    ) {
        self.tools.set_mcp_server(Some((server, calls)));
    }

    pub(in crate::turn::app_server) fn set_id(&mut self, turn_id: &str) {
        self.context.record_turn_id(turn_id.to_owned());
        self.turn.turn_id = Some(turn_id.to_owned());
    }

    /// Notes what the thread has used before the turn.
    pub(in crate::turn::app_server) fn had_used(&mut self, total: Usage) {
        self.tokens.had_used(total);
    }

    /// Applies what the server tells of the turn, on a line of `length` bytes.
    pub(in crate::turn::app_server) fn apply(&mut self, update: Update, length: usize) {
        let repeated = match &update {
            Update::Item { stage, item } => self.tools.host.repeated_output(*stage, item),
            _ => 0,
        };
        if !self.count(length.saturating_sub(repeated)) {
            return;
        }
        let now = Instant::now();
        match update {
            Update::TurnStarted => {
                self.began = Some(now);
                self.responses.begin(now);
                self.push(|| Progress::TurnStarted);
            }
            Update::TurnCompleted(end) => self.completed(end, now),
            Update::UserItem => self.model_asked(now),
            Update::Item { stage, item } => self.item(stage, item, repeated > 0, now),
            Update::Delta { item_id, progress } => {
                if !matches!(progress, Progress::OutputDelta { .. }) {
                    self.phases.writing();
                    let first = self.responses.delta(&self.context, &item_id, now);
                    self.first_token(first);
                }
                self.push(|| progress);
            }
            Update::Plan(items) => self.push(|| Progress::PlanUpdated { items }),
            Update::Response { id, usage } => {
                if let Some(usage) = usage {
                    self.tokens.of_response(usage);
                    self.stats.usage = self.tokens.usage();
                }
                self.responses.completed(&self.context, id, usage, now);
                self.phases.response_ended();
            }
            Update::TokenUsage {
                last,
                total,
                context_window,
            } => {
                if let Some(used) = self.tokens.of_thread(last, total, context_window) {
                    self.stats.usage = self.tokens.usage();
                    self.responses.usage(&self.context, used, now);
                    if self.responses.has_ends() {
                        // The tools of the response have ended: what comes next is of another one.
                        self.phases.heard();
                    } else {
                        self.phases.written();
                    }
                }
                self.push(|| Progress::TokenUsage {
                    last,
                    total,
                    context_window,
                });
            }
            Update::Error { will_retry, error } => self.error(will_retry, error),
            Update::Warning(message) => self.push(|| Progress::Warning { message }),
            Update::RateLimits(limits) => self.limits(limits),
        }
    }

    /// Counts a line whose method or kind is unknown.
    pub(in crate::turn::app_server) fn unknown(&mut self, length: usize) {
        if self.count(length) {
            self.stats.unknown_events = self.stats.unknown_events.saturating_add(1);
        }
    }

    /// Has the turn fail as stopped when it is interrupted.
    pub(in crate::turn::app_server) fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// Sets how long the turn waited for its thread, in milliseconds.
    pub(in crate::turn::app_server) fn record_thread_wait(&self, millis: f64) {
        self.context.record(names::THREAD_WAIT, millis);
    }

    /// Ends the turn, unless it has ended.
    pub(in crate::turn::app_server) fn fail(&mut self, error: TurnError) {
        if let TurnError::ServerExited { status, .. } = &error {
            self.stats.status = *status;
        }
        let error = if self.is_stopped {
            TurnError::Stopped
        } else {
            error
        };
        self.end(Err(error), Instant::now());
    }

    /// Returns whether the turn has ended.
    pub(in crate::turn::app_server) const fn has_ended(&self) -> bool {
        self.ending.is_some()
    }

    /// Returns the result of a turn that has ended.
    pub(in crate::turn::app_server) fn finish(mut self) -> Result<Turn, TurnError> {
        self.stats.dropped_progress = self.progress.dropped();
        match self.ending.take() {
            Some(Ok(())) => {
                self.record_answer(true);
                self.stats.completed = true;
                self.turn.retries = self.stats.retries;
                self.turn.unknown_events = self.stats.unknown_events;
                Ok(std::mem::take(&mut self.turn))
            }
            Some(Err(error)) => Err(error),
            None => Err(TurnError::Interrupted),
        }
    }

    /// Counts the bytes of a line. Returns whether the turn goes on.
    fn count(&mut self, length: usize) -> bool {
        if self.has_ended() {
            return false;
        }
        self.stats.first_event.get_or_insert_with(Instant::now);
        match self.output_left.checked_sub(length) {
            Some(left) => self.output_left = left,
            None => self.fail(TurnError::OutputTooLarge {
                limit: self.output_limit,
            }),
        }
        !self.has_ended()
    }

    /// Applies an item, and keeps its output unless it is a repeated one.
    fn item(&mut self, stage: Stage, mut item: Item, is_repeated: bool, now: Instant) {
        let was_busy = !self.tools.is_empty();
        let is_new = self.tools.apply(&self.context, stage, &item);
        if let ItemKind::DynamicToolCall { content_items, .. } = &mut item.kind
            && is_repeated
        {
            *content_items = None;
        }
        self.stats.tool_calls += u32::from(is_new);
        self.phases.model_asked();
        self.phases.set_tools(!self.tools.is_empty());
        if is_new {
            self.phases.heard();
        }
        if is_new && stage == Stage::Started {
            self.responses.tool_started(&self.context, now);
            if !self.responses.has_ends() {
                self.phases.written();
            }
        } else if was_busy && self.tools.is_empty() {
            self.responses.begin(now);
        }
        match (&item.kind, stage) {
            (ItemKind::AgentMessage { .. } | ItemKind::Reasoning { .. }, Stage::Started) => {
                self.phases.writing();
                self.responses.item_started(&self.context, &item.id, now);
            }
            (ItemKind::AgentMessage { .. } | ItemKind::Reasoning { .. }, _) => {
                self.phases.heard();
                self.has_whole_text |= self.first_token.is_none();
            }
            (ItemKind::Other { .. }, _) => {
                self.stats.unknown_events = self.stats.unknown_events.saturating_add(1);
            }
            _ => {}
        }
        if stage != Stage::Completed {
            return self.push(|| Progress::ItemStarted(item));
        }
        match &item.kind {
            ItemKind::ContextCompaction => self.compacted(),
            ItemKind::DynamicToolCall { .. } => self.give_up_calls(&item.id),
            _ => {}
        }
        if let ItemKind::AgentMessage { text } = &item.kind {
            self.turn.final_message = Some(text.clone());
        }
        if self.progress.has_reader() {
            self.progress.push(Progress::ItemCompleted(item.clone()));
        }
        self.turn.items.push(item);
    }

    /// Notes that Codex has replaced the earlier conversation by a summary.
    fn compacted(&mut self) {
        self.context
            .add_event_with(names::COMPACTION, self.tokens.of_context());
        self.responses.compacted();
        self.push(|| Progress::Compacted);
    }

    /// Codex has told what the turn is asked, and now asks the model. Before that, it waits for MCP servers that start.
    fn model_asked(&mut self, now: Instant) {
        self.phases.model_asked();
        if self.responses.count() == 0 && self.tools.is_empty() {
            self.responses.begin(now);
        }
    }

    /// Notes when the first part of a text came, unless one came as a whole before.
    fn first_token(&mut self, first: Option<Instant>) {
        let (Some(began), Some(first), None) = (self.began, first, self.first_token) else {
            return;
        };
        self.first_token = Some(first);
        if !self.has_whole_text {
            self.phases
                .first_token(first.saturating_duration_since(began));
        }
    }

    fn error(&mut self, will_retry: bool, error: TurnFailure) {
        if !will_retry {
            // The end of the turn has it as well.
            return self.push(|| Progress::Warning {
                message: error.message,
            });
        }
        self.stats.retries = self.stats.retries.saturating_add(1);
        self.phases.retrying();
        let attributes = error.info.as_ref().map(attributes::of_error);
        self.context.add_event_with(
            failure::of_retry(&error.message),
            attributes.unwrap_or_default(),
        );
        let message = match error.details {
            Some(details) if !details.is_empty() => format!("{} ({details})", error.message),
            _ => error.message,
        };
        self.push(|| Progress::Retrying { message });
    }

    fn limits(&mut self, limits: RateLimits) {
        // Codex repeats them after each response, and tells empty ones if the provider has told none.
        let is_empty = limits
            == RateLimits {
                limit_id: limits.limit_id.clone(),
                ..RateLimits::default()
            };
        if is_empty || self.rate_limits.as_ref() == Some(&limits) {
            return;
        }
        self.context
            .add_event_with(names::RATE_LIMITS, attributes::of_rate_limits(&limits));
        self.rate_limits = Some(limits.clone());
        self.push(|| Progress::RateLimits(limits));
    }

    fn completed(&mut self, end: TurnEnd, now: Instant) {
        let ending = match (end.status.as_str(), end.error) {
            ("completed", _) => Ok(()),
            ("failed", error) => {
                let (message, info) = match error {
                    Some(error) => (error.message, error.info),
                    None => (String::new(), None),
                };
                Err(TurnError::Failed { message, info })
            }
            _ => Err(match self.cancelled_by.take() {
                _ if self.is_stopped => TurnError::Stopped,
                Some(tool) => TurnError::CancelledByApprover { tool },
                None => TurnError::Interrupted,
            }),
        };
        self.end(ending, now);
    }

    /// Ends the turn and all that is open in it.
    fn end(&mut self, ending: Result<(), TurnError>, now: Instant) {
        if self.has_ended() {
            return;
        }
        // Before what was open ends.
        match &ending {
            Ok(()) => self.phases.turn_completed(),
            Err(_) => self.phases.freeze(),
        }
        let (unfinished, response) = match &ending {
            Ok(()) => (ErrorClass::Incomplete, None),
            Err(error) => (ErrorClass::Interrupted, Some(error.classification())),
        };
        let failure = match &ending {
            Err(TurnError::Failed {
                info: Some(info), ..
            }) => attributes::of_error(info),
            _ => Vec::new(),
        };
        for KeyValue { key, value, .. } in failure.clone() {
            self.context.record(key, value);
        }
        self.tools.fail_all(&self.context, unfinished);
        self.responses.end(&self.context, response, failure, now);
        self.questions.clear();
        self.turn.usage = self.tokens.usage();
        self.turn.thread_usage = self.tokens.thread();
        if let Err(TurnError::ServerExited { status, .. }) = &ending {
            self.stats.status = *status;
        }
        self.ending = Some(ending);
    }

    fn record_answer(&self, is_completed: bool) {
        if let Some(text) = &self.turn.final_message {
            content::record_answer(&self.context, text, is_completed);
        }
    }

    /// Sends progress if the caller wants it: it may be large, and is not made for nobody.
    fn push(&mut self, progress: impl FnOnce() -> Progress) {
        if self.progress.has_reader() {
            self.progress.push(progress());
        }
    }
}

/// However a turn ends: also when its future is dropped.
impl Drop for TurnState {
    fn drop(&mut self) {
        self.tools.host.cancel_all(&self.context);
        // A turn that completed has handed the message out.
        self.record_answer(false);
        // A turn without a response has its tokens, if any, in its own usage.
        let count = self.responses.count();
        if count > 0 {
            let count = i64::from(count);
            self.context.record(names::INFERENCE_CALLS, count);
        }
    }
}
