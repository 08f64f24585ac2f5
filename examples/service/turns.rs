//! `POST /turns`: runs a turn, and answers with its progress as server-sent events.

use std::convert::Infallible;

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::HeaderMap,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use codex_telemetry::CallContext;
use futures_util::stream;
use serde::Deserialize;

use crate::{answer::Failure, app::App, callers::Authorized, client::Client, running::Running};

/// The body of the request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTurn {
    pub(crate) prompt: String,
    pub(crate) thread: Option<String>,
    #[serde(default)]
    pub(crate) attachments: Vec<String>,
    pub(crate) model: Option<String>,
}

/// The stream begins once the turn has something to show. A turn that has failed by then has an answer with its own
/// status.
pub(crate) async fn start(
    State(app): State<App>,
    Authorized(caller): Authorized,
    headers: HeaderMap,
    body: Result<Json<NewTurn>, JsonRejection>,
) -> Result<Response, Failure> {
    let Json(turn) = body?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let mut context = CallContext::new().with_originator(caller.originator.clone());
    if let Some(parent) = header("traceparent") {
        context = context.with_traceparent(parent, header("tracestate"));
    }
    let updates = Running::spawn(&app, &caller, turn, context)?;
    let mut client = Client::new(&app, caller, updates);
    client.begin().await?;
    let events = stream::unfold(client, async |mut client| {
        let event = client.next().await?;
        Some((Ok::<Event, Infallible>(event), client))
    });
    let keep_alive = KeepAlive::default();
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}
