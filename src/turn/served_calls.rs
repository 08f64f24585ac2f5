use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use crate::event::{Classification, Ticket};

/// The calls that have come in by a server of the program's tools, until Codex tells that they have ended.
///
/// Codex tells of them as items. By the ticket it is known which of them have an event already.
#[derive(Clone, Default)]
pub(crate) struct ServedCalls(Arc<Mutex<VecDeque<Call>>>);

struct Call {
    tool: String,
    /// The model's id of the call, if Codex has sent it.
    id: Option<String>,
    served: Served,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::turn) struct Served {
    pub(in crate::turn) ticket: Ticket,
    /// What the program has answered; `None` while the tool runs.
    pub(in crate::turn) answer: Option<Result<(), Classification>>,
}

impl ServedCalls {
    /// The most calls that are noted. Codex may never tell of one.
    #[cfg(any(test, feature = "mcp"))]
    const MAX: usize = 1024;

    /// Notes a call.
    #[cfg(any(test, feature = "mcp"))]
    pub(crate) fn began(&self, tool: String, id: Option<String>, ticket: Ticket) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() >= Self::MAX {
            calls.pop_front();
        }
        let served = Served {
            ticket,
            answer: None,
        };
        calls.push_back(Call { tool, id, served });
    }

    /// Notes what the program has answered to a call.
    #[cfg(any(test, feature = "mcp"))]
    pub(crate) fn answered(&self, ticket: &Ticket, answer: Result<(), Classification>) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(call) = calls.iter_mut().find(|call| call.served.ticket == *ticket) {
            call.served.answer = Some(answer);
        }
    }

    /// Takes out the call of a tool with an id. If its id is not known, it is the first one of the tool that fits what
    /// Codex tells, which is whether the call has failed or, by `None`, that it runs; or else the first one of the tool.
    pub(in crate::turn) fn take(
        &self,
        tool: &str,
        id: Option<&str>,
        has_failed: Option<bool>,
    ) -> Option<Served> {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_call = |call: &Call| match id {
            Some(id) => call.id.as_deref() == Some(id),
            None => call.tool == tool,
        };
        let fits = |call: &Call| call.served.answer.as_ref().map(Result::is_err) == has_failed;
        let fitting = calls.iter().position(|call| is_call(call) && fits(call));
        let place = fitting.or_else(|| calls.iter().position(is_call))?;
        calls.remove(place).map(|call| call.served)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ErrorClass;

    fn ticket() -> Ticket {
        Ticket::new(None, Vec::new())
    }

    fn took(calls: &ServedCalls, tool: &str, id: Option<&str>) -> Option<Ticket> {
        calls.take(tool, id, None).map(|served| served.ticket)
    }

    #[test]
    fn an_answer_is_that_of_its_call() {
        let (calls, tickets) = (ServedCalls::default(), [ticket(), ticket()]);
        for ticket in &tickets {
            calls.began("echo".to_owned(), None, ticket.clone());
        }
        let failure = Err(ErrorClass::Timeout.into());
        calls.answered(&tickets[1], failure.clone());
        let taken = |has_failed| calls.take("echo", None, has_failed).unwrap().answer;
        assert_eq!(taken(Some(true)), Some(failure));
        // None fits: it is the one that still runs.
        assert_eq!(taken(Some(true)), None);
    }

    #[test]
    fn a_call_is_found_by_its_id_and_once() {
        let (calls, tickets) = (ServedCalls::default(), [ticket(), ticket()]);
        for (ticket, id) in tickets.iter().zip(["1", "2"]) {
            calls.began("echo".to_owned(), Some(id.to_owned()), ticket.clone());
        }
        assert_eq!(took(&calls, "echo", Some("2")), Some(tickets[1].clone()));
        assert_eq!(took(&calls, "echo", Some("2")), None);
        assert_eq!(took(&calls, "echo", Some("1")), Some(tickets[0].clone()));
    }

    #[test]
    fn a_call_without_a_known_id_is_the_first_one_of_its_tool() {
        let (calls, tickets) = (ServedCalls::default(), [ticket(), ticket(), ticket()]);
        for (ticket, tool) in tickets.iter().zip(["add", "echo", "echo"]) {
            calls.began(tool.to_owned(), Some("an id".to_owned()), ticket.clone());
        }
        assert_eq!(took(&calls, "echo", None), Some(tickets[1].clone()));
        assert_eq!(took(&calls, "echo", None), Some(tickets[2].clone()));
        assert_eq!(took(&calls, "echo", None), None);
    }

    #[test]
    fn the_calls_that_are_noted_are_bounded() {
        let calls = ServedCalls::default();
        for id in 0..2 * ServedCalls::MAX {
            calls.began("echo".to_owned(), Some(id.to_string()), ticket());
        }
        let first = ServedCalls::MAX.to_string();
        assert_eq!(took(&calls, "echo", Some("0")), None);
        assert!(took(&calls, "echo", Some(&first)).is_some());
    }
}
