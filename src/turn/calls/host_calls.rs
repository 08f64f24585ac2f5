use std::collections::HashMap;

use tokio::time::Instant;

use super::{Stage, tool};
use crate::{
    call::{CallContext, CallGuard},
    event::{Classification, ErrorClass, Ticket},
    turn::{Item, ItemKind, ItemStatus, Sandbox, served_calls::ServedCalls},
};

/// The longest output of the program's own tools that an item keeps, in bytes. Of a longer one the model sees parts.
const MAX_REPEATED_OUTPUT: usize = 64 * 1024;

/// The calls of the program's own tools that run in a turn, by the ids of their items.
///
/// The event of a call is that of the program's own stack. Only if the stack makes none, Codex's item does.
pub(in crate::turn) struct HostCalls {
    calls: HashMap<String, HostCall>,
    /// Whether the program runs its own tools for the app-server.
    has_dynamic_tools: bool,
    /// The MCP server that has the program's own tools, and its calls.
    mcp_server: Option<(String, ServedCalls)>,
    /// Whether the id of an item is the model's own id of the call.
    has_call_ids: bool,
}

struct HostCall {
    since: Instant,
    /// What Codex has told of it.
    item: Option<Item>,
    /// Of the calls that run: one, unless Codex calls the tool again by the same id.
    running: Vec<Ticket>,
    /// Whether the program's stack has opened a call that has ended.
    has_event: bool,
    /// What the program has answered last.
    answer: Option<Result<(), Classification>>,
}

// === impl HostCalls ===

impl HostCalls {
    pub(super) fn new(has_dynamic_tools: bool, has_call_ids: bool) -> Self {
        Self {
            calls: HashMap::new(),
            has_dynamic_tools,
            mcp_server: None,
            has_call_ids,
        }
    }

    pub(super) fn set_mcp_server(&mut self, server: Option<(String, ServedCalls)>) {
        self.mcp_server = server;
    }

    /// Returns whether an item is one of the program's own tools.
    pub(super) fn takes(&self, item: &Item) -> bool {
        match &item.kind {
            ItemKind::DynamicToolCall { .. } => self.has_dynamic_tools,
            ItemKind::McpToolCall { server, .. } => {
                let own = self.mcp_server.as_ref();
                own.is_some_and(|(name, _)| name == server)
            }
            _ => false,
        }
    }

    /// Opens a call for an item once it has ended, unless the program's stack has opened one. Returns whether the item is
    /// a new one.
    pub(super) fn apply(
        &mut self,
        turn: &CallContext,
        stage: Stage,
        item: &Item,
        sandbox: Option<Sandbox>,
    ) -> bool {
        let known = self.calls.remove(&item.id);
        let mut call = known.unwrap_or_else(HostCall::begin);
        let is_new = call.item.is_none();
        if stage == Stage::Completed {
            self.find_served(&mut call, item, stage);
            if let Some(open) = call.open(turn, item, self.has_call_ids) {
                // Codex does not wait for a tool that still runs if the turn is interrupted.
                let failure = match call.is_running() {
                    true => Some(ErrorClass::Interrupted.into()),
                    false => call.failure(),
                };
                let failure = tool::close(&open, item, sandbox, failure);
                tool::end(open, failure);
            }
        } else {
            call.item = Some(item.clone());
            self.calls.insert(item.id.clone(), call);
        }
        is_new
    }

    /// Finds the call by which an item came in over MCP, if it did. Codex may have refused it before.
    fn find_served(&self, call: &mut HostCall, item: &Item, stage: Stage) {
        let ItemKind::McpToolCall { tool, status, .. } = &item.kind else {
            return;
        };
        let has_failed = (stage == Stage::Completed).then_some(*status == ItemStatus::Failed);
        let id = self.has_call_ids.then_some(&*item.id);
        if let Some((_, calls)) = &self.mcp_server
            && let Some(served) = calls.take(tool, id, has_failed)
        {
            call.has_event |= served.ticket.is_used();
            call.answer = served.answer;
            if call.answer.is_none() {
                call.running.push(served.ticket);
            }
        }
    }

    /// Notes that a tool of the program is called, with a ticket.
    pub(super) fn called(&mut self, id: &str, ticket: Ticket) {
        let call = self.calls.entry(id.to_owned());
        call.or_insert_with(HostCall::begin).running.push(ticket);
    }

    /// Notes that a tool of the program has answered the call with this ticket.
    pub(in crate::turn) fn answered(
        &mut self,
        id: &str,
        ticket: &Ticket,
        answer: Result<(), Classification>,
    ) {
        if let Some(call) = self.calls.get_mut(id) {
            call.running.retain(|running| running != ticket);
            call.has_event |= ticket.is_used();
            call.answer = Some(answer);
        }
    }

    /// Returns whether Codex waits for the answer to a call.
    pub(in crate::turn) fn waits_for(&self, id: &str, ticket: &Ticket) -> bool {
        let call = self.calls.get(id);
        call.is_some_and(|call| call.running.contains(ticket))
    }

    /// Returns the length of the output in the item of a tool of the program that has ended, if it is a long one: the
    /// program has it, and it is not kept.
    pub(in crate::turn) fn repeated_output(&self, stage: Stage, item: &Item) -> usize {
        let (ItemKind::DynamicToolCall { content_items, .. }, Stage::Completed) =
            (&item.kind, stage)
        else {
            return 0;
        };
        let is_of_program = |call: &HostCall| call.is_running() || call.answer.is_some();
        if !self.calls.get(&item.id).is_some_and(is_of_program) {
            return 0;
        }
        let length = content_items.as_ref().map(|items| items.as_str().len());
        length
            .filter(|length| *length > MAX_REPEATED_OUTPUT)
            .unwrap_or(0)
    }

    /// Forgets the calls that were answered and of which Codex has not told: a sub-agent has items of its own.
    pub(super) fn forget_answered(&mut self) {
        self.calls
            .retain(|_, call| call.item.is_some() || call.is_running());
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.calls.contains_key(id)
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Returns whether no tool of the turn itself runs.
    pub(super) fn is_idle(&self) -> bool {
        self.calls.values().all(|call| call.item.is_none())
    }

    /// Ends all calls of a turn as failed. One that runs ends by itself: its future is dropped.
    pub(super) fn fail_all(&mut self, turn: &CallContext, class: ErrorClass) {
        self.end_all(turn, |open, call| {
            open.fail(call.failure().unwrap_or_else(|| class.into()));
        });
    }

    /// Ends all calls as cancelled, which those of all other tools are when they are dropped.
    pub(in crate::turn) fn cancel_all(&mut self, turn: &CallContext) {
        self.end_all(turn, |open, _| drop(open));
    }

    fn end_all(&mut self, turn: &CallContext, end: impl Fn(CallGuard, HostCall)) {
        for (_, mut call) in std::mem::take(&mut self.calls) {
            let Some(item) = call.item.take() else {
                continue;
            };
            self.find_served(&mut call, &item, Stage::Started);
            if let Some(open) = call.open(turn, &item, self.has_call_ids) {
                end(open, call);
            }
        }
    }
}

// === impl HostCall ===

impl HostCall {
    fn begin() -> Self {
        Self {
            since: Instant::now(),
            item: None,
            running: Vec::new(),
            has_event: false,
            answer: None,
        }
    }

    /// Returns whether the program's stack has opened a call.
    fn has_event(&self) -> bool {
        self.has_event || self.running.iter().any(Ticket::is_used)
    }

    fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// Returns why the tool has failed, if it has.
    fn failure(&self) -> Option<Classification> {
        self.answer.clone()?.err()
    }

    /// Opens the call of which Codex has told, if the program's stack has opened none.
    fn open(&self, turn: &CallContext, item: &Item, has_call_id: bool) -> Option<CallGuard> {
        if self.has_event() {
            return None;
        }
        tool::open_since(turn, item, has_call_id, self.since.elapsed())
    }
}
