//! The tools. The schemas of their arguments come from the types, with the doc comments as descriptions.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use codex_telemetry::{
    BoxError,
    approval::{ApprovalRequest, Decision},
    tool::{ApprovalLayer, ToolFailure, ToolService, ToolSpecError, tool_fn},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower::Layer;
use tower_service::Service;

#[derive(Clone, Copy, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Open,
    Closed,
}

#[derive(Clone, Serialize)]
struct Ticket {
    title: &'static str,
    state: State,
    comments: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
struct List {
    /// The state of the tickets. Leave it out to get all.
    state: Option<State>,
}

#[derive(Deserialize, JsonSchema)]
struct Read {
    /// The number of the ticket.
    id: u32,
}

#[derive(Deserialize, JsonSchema)]
struct Close {
    /// The number of the ticket.
    id: u32,
    /// Why it is closed, in a sentence for whoever opened it.
    comment: String,
}

/// The tickets, which the tools share.
#[derive(Clone)]
struct Tickets(Arc<Mutex<BTreeMap<u32, Ticket>>>);

/// Returns the tools. One of them changes something, so it needs an approval.
pub(crate) fn tools<A>(approver: A, deadline: Duration) -> Result<ToolService, ToolSpecError>
where
    A: Service<ApprovalRequest, Response = Decision> + Clone + Send + Sync + 'static,
    A::Error: Into<BoxError>,
    A::Future: Send + 'static,
{
    let tickets = Tickets::some();
    let list = {
        let tickets = tickets.clone();
        tool_fn(move |List { state }, _| {
            let titles = tickets.titles(state);
            async move { Ok::<_, ToolFailure>(titles) }
        })
    };
    let read = {
        let tickets = tickets.clone();
        tool_fn(move |Read { id }, _| {
            let ticket = tickets.change(id, |ticket| ticket.clone());
            async move { ticket }
        })
    };
    let close = tool_fn(move |Close { id, comment }, _| {
        let tickets = tickets.clone();
        async move {
            tickets.change(id, |ticket| {
                ticket.state = State::Closed;
                ticket.comments.push(comment);
                ticket.clone()
            })
        }
    });
    ToolService::builder()
        .tool(
            list.spec(
                "list_tickets",
                "Lists the numbers and the titles of tickets",
            ),
            list,
        )
        .tool(
            read.spec("read_ticket", "Returns a ticket with its comments"),
            read,
        )
        .tool(
            close.spec("close_ticket", "Closes a ticket. A person is asked before"),
            ApprovalLayer::new(approver, deadline).layer(close),
        )
        .build()
}

impl Tickets {
    fn some() -> Self {
        let ticket = |title, comment: &str| Ticket {
            title,
            state: State::Open,
            comments: vec![comment.to_owned()],
        };
        Self(Arc::new(Mutex::new(BTreeMap::from([
            (
                7,
                ticket("The export stops at midnight", "Fixed in release 1.4."),
            ),
            (
                9,
                ticket("The page has no search", "Nobody has begun with it."),
            ),
        ]))))
    }

    fn titles(&self, state: Option<State>) -> BTreeMap<u32, &'static str> {
        self.lock()
            .iter()
            .filter(|(_, ticket)| state.is_none_or(|state| ticket.state == state))
            .map(|(id, ticket)| (*id, ticket.title))
            .collect()
    }

    fn change<T>(&self, id: u32, change: impl FnOnce(&mut Ticket) -> T) -> Result<T, ToolFailure> {
        match self.lock().get_mut(&id) {
            Some(ticket) => Ok(change(ticket)),
            // For the model: what happened, and what it can do.
            None => Err(ToolFailure::new(format!(
                "there is no ticket {id}: list the tickets first"
            ))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Ticket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
