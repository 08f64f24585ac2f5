//! What became of the turns of a caller.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::{Path, rejection::PathRejection},
};
use serde::Serialize;

use crate::{answer::Failure, callers::Authorized, journal::Turn};

#[derive(Serialize)]
pub(crate) struct Thread {
    id: String,
    turns: Vec<Turn>,
}

/// `GET /threads`
pub(crate) async fn list(Authorized(caller): Authorized) -> Json<BTreeSet<String>> {
    Json(caller.journal.threads())
}

/// `GET /threads/{id}`
pub(crate) async fn thread(
    Authorized(caller): Authorized,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Thread>, Failure> {
    let Path(id) = id?;
    let turns = caller.journal.turns_of(&id);
    if turns.is_empty() {
        return Err(Failure::not_found("thread"));
    }
    Ok(Json(Thread { id, turns }))
}

/// `GET /turns/{id}`
pub(crate) async fn turn(
    Authorized(caller): Authorized,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Turn>, Failure> {
    let Path(id) = id?;
    let turn = id.parse().ok().and_then(|id| caller.journal.turn(id));
    turn.map(Json).ok_or_else(|| Failure::not_found("turn"))
}

/// Any other route, for those who have a token.
pub(crate) async fn unknown(_: Authorized) -> Failure {
    Failure::not_found("route")
}
