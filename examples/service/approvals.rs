//! `GET /approvals` and `POST /approvals/{id}`: the open questions of a caller, and its answers.

use axum::{
    Json,
    extract::{
        Path, State,
        rejection::{JsonRejection, PathRejection},
    },
    http::StatusCode,
};
use codex_telemetry::approval::Decision;
use serde::Deserialize;

use crate::{answer::Failure, app::App, callers::Authorized, questions::Question};

#[derive(Deserialize)]
#[serde(tag = "decision", rename_all = "lowercase")]
pub(crate) enum Answer {
    Accept,
    Decline { reason: Option<String> },
}

pub(crate) async fn list(
    State(app): State<App>,
    Authorized(caller): Authorized,
) -> Json<Vec<Question>> {
    Json(app.questions.of(caller.originator.as_str()))
}

pub(crate) async fn answer(
    State(app): State<App>,
    Authorized(caller): Authorized,
    id: Result<Path<String>, PathRejection>,
    answer: Result<Json<Answer>, JsonRejection>,
) -> Result<StatusCode, Failure> {
    let (Path(id), Json(answer)) = (id?, answer?);
    let decision = match answer {
        Answer::Accept => Decision::Accept,
        Answer::Decline { reason } => {
            Decision::decline(reason.unwrap_or_else(|| "the user said no".to_owned()))
        }
    };
    // An id that is no number is unknown, too.
    let id = id.parse().unwrap_or(0);
    match app
        .questions
        .answer(caller.originator.as_str(), id, decision)
    {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Failure::not_found("open question")),
    }
}
