//! What Codex asks in a turn, and the calls of the program's tools.

use std::sync::Arc;

use super::TurnState;
use crate::{
    call::CallContext,
    event::{Classification, Ticket},
    turn::{
        app_server::{
            approvals::Asked,
            slot::{Question, Subject},
        },
        calls,
    },
};

/// The most questions of Codex that wait for an answer in a turn.
const MAX_QUESTIONS: usize = 64;

impl TurnState {
    /// Takes a question for the turn's future. Gives it back if too many wait.
    pub(in crate::turn::app_server) fn ask(
        &mut self,
        mut question: Box<Question>,
    ) -> Result<(), Box<Question>> {
        if self.ending.is_some() || self.questions.len() >= MAX_QUESTIONS {
            return Err(question);
        }
        if let Subject::Approval(_) = question.subject {
            question.wait = Some(self.phases.approval());
        }
        self.questions.push_back(question);
        Ok(())
    }

    /// Returns the next question, with what it does not say itself.
    pub(in crate::turn::app_server) fn next_question(&mut self) -> Option<Box<Question>> {
        let mut question = self.questions.pop_front()?;
        if let Subject::Approval(asked) = &mut question.subject {
            self.complete(asked);
        }
        Some(question)
    }

    /// Returns the context of the call of the tool that a question is about, if there is one. The call is open until
    /// the handle is dropped.
    pub(in crate::turn::app_server) fn ask_about(
        &mut self,
        asked: &Asked,
    ) -> Option<(CallContext, Arc<calls::AskedTool>)> {
        self.tools.ask(asked.item_id.as_deref()?)
    }

    /// Notes the ticket with which a tool of this program is called. Returns `false` if too many are open.
    pub(in crate::turn::app_server) fn host_called(
        &mut self,
        call_id: &str,
        ticket: Ticket,
    ) -> bool {
        self.tools.host_called(call_id, ticket)
    }

    /// Notes what a tool of this program has answered.
    pub(in crate::turn::app_server) fn host_answered(
        &mut self,
        call_id: &str,
        ticket: &Ticket,
        answer: Result<(), Classification>,
    ) {
        self.tools.host.answered(call_id, ticket, answer);
    }

    /// Returns whether Codex waits for the answer of a tool of this program.
    pub(in crate::turn::app_server) fn waits_for_host(
        &self,
        call_id: &str,
        ticket: &Ticket,
    ) -> bool {
        self.tools.host.waits_for(call_id, ticket)
    }

    /// Has the calls of a tool of this program that wait to be run not run, since Codex has ended them.
    pub(super) fn give_up_calls(&mut self, call_id: &str) {
        for question in &mut self.questions {
            if let Subject::HostCall(call) = &mut question.subject
                && call.call_id == call_id
            {
                call.is_over = true;
            }
        }
    }

    /// Adds what the question does not have, and the item has.
    fn complete(&mut self, asked: &mut Asked) {
        if let Some((server, tool, arguments)) = asked.mcp_tool() {
            asked.item_id = self.tools.find_mcp_tool(server, tool, arguments);
        }
        if let Some(id) = &asked.item_id
            && let Some(changes) = self.tools.changes(id)
        {
            asked.set_changes(changes);
        }
    }

    /// Notes that the approver refused what a tool wanted.
    pub(in crate::turn::app_server) fn refuse(
        &mut self,
        item_id: Option<&str>,
        refusal: Classification,
    ) {
        if let Some(id) = item_id {
            self.tools.refuse(id, refusal);
        }
    }

    /// Notes that the approver of a tool cancelled the turn.
    pub(in crate::turn::app_server) fn cancelled_by(&mut self, tool: &str) {
        self.cancelled_by = Some(tool.to_owned());
        // It waited for the approver, and not for what Codex does to end it.
        self.phases.freeze();
    }
}
