//! Uploads: each caller has a store of attachments, and its turns can be given what is in it.

use std::{collections::BTreeSet, io, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use codex_telemetry::{
    Attachment, AttachmentError, CallContext, CodexClassifier, ErrorClass, ServiceBuilderExt,
    StageRequest, StageService, Ttl, attachment::Expiry,
};
use futures_util::TryStreamExt;
use serde::Serialize;
use tokio_util::io::StreamReader;
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    answer::Failure,
    app::App,
    callers::{Authorized, Caller},
};

/// How long an upload may take.
const TIMEOUT: Duration = Duration::from_secs(120);

/// How many attachments a turn may have.
const MAX_OF_TURN: usize = 16;

/// An upload, as its caller sees it: without the path.
#[derive(Serialize)]
pub(crate) struct Upload {
    id: String,
    name: String,
    size: u64,
    expires: Expiry,
}

/// `PUT /uploads/{name}`: stages the body.
pub(crate) async fn stage(
    State(app): State<App>,
    Authorized(caller): Authorized,
    name: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Response, Failure> {
    let Path(name) = name?;
    let Ok(_permit) = caller.uploading.try_acquire() else {
        return Err(Failure::unavailable(
            ErrorClass::Overloaded,
            "too many uploads at once: try again later",
        ));
    };
    // They go when they expire. Those that come in at once, which are few, can exceed it by their number.
    if list_of(&caller).await?.len() >= app.max_uploads {
        return Err(Failure::new(
            StatusCode::INSUFFICIENT_STORAGE,
            ErrorClass::UsageLimit,
            format!("a caller has at most {} uploads", app.max_uploads),
        ));
    }
    let staging = ServiceBuilder::new()
        .timing(app.sink.clone())
        .error_class(CodexClassifier)
        .timeout(TIMEOUT)
        .service(StageService::new(caller.uploads.clone()));
    let reader = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let context = CallContext::new().with_originator(caller.originator.clone());
    let request = StageRequest::reader(name, reader, Ttl::default()).with_context(context);
    match staging.oneshot(request).await {
        Ok(staged) => Ok((StatusCode::CREATED, Json(Upload::of(&staged))).into_response()),
        Err(error) => Err(match error.downcast_ref() {
            Some(AttachmentError::TooLarge { limit, .. }) => Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                ErrorClass::InvalidRequest,
                format!("an upload has at most {limit} bytes"),
            ),
            Some(AttachmentError::InvalidName { reason, .. }) => Failure::new(
                StatusCode::BAD_REQUEST,
                ErrorClass::InvalidRequest,
                format!("the name is invalid: {reason}"),
            ),
            // The client has gone away, or sends no HTTP any more.
            Some(AttachmentError::Io { source, .. }) if is_of_body(source) => Failure::new(
                StatusCode::BAD_REQUEST,
                ErrorClass::InvalidRequest,
                "the upload is incomplete",
            ),
            _ => Failure::of(&error),
        }),
    }
}

/// Returns whether an error is that of the body of a request, not one of this machine.
fn is_of_body(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|source| source.is::<axum::Error>())
}

/// `GET /uploads`: what the caller has uploaded.
pub(crate) async fn list(Authorized(caller): Authorized) -> Result<Json<Vec<Upload>>, Failure> {
    let uploads = list_of(&caller).await?;
    Ok(Json(uploads.iter().map(Upload::of).collect()))
}

/// Leases uploads of a caller for a turn, by their ids.
pub(crate) async fn lease(caller: &Caller, ids: &[String]) -> Result<Vec<Attachment>, Failure> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    // Each takes a descriptor.
    let ids: BTreeSet<_> = ids.iter().collect();
    if ids.len() > MAX_OF_TURN {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            ErrorClass::InvalidRequest,
            format!("a turn has at most {MAX_OF_TURN} attachments"),
        ));
    }
    let uploads = list_of(caller).await?;
    let mut leased = Vec::new();
    for id in ids {
        let upload = uploads.iter().find(|upload| Upload::of(upload).id == *id);
        let upload = upload.ok_or_else(|| Failure::not_found("upload"))?;
        leased.push(match caller.uploads.lease(upload).await {
            Ok(upload) => upload,
            // Swept since.
            Err(AttachmentError::NotFound { .. }) => return Err(Failure::not_found("upload")),
            Err(error) => return Err(Failure::internal(error)),
        });
    }
    Ok(leased)
}

async fn list_of(caller: &Caller) -> Result<Vec<Attachment>, Failure> {
    caller.uploads.list().await.map_err(Failure::internal)
}

// === impl Upload ===

impl Upload {
    fn of(attachment: &Attachment) -> Self {
        Self {
            id: format!("{}-{}", attachment.hash, attachment.name),
            name: attachment.name.clone(),
            size: attachment.size,
            expires: attachment.expiry,
        }
    }
}
