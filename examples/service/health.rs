//! `GET /healthz`: what is active, and whether the export works.

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::StatusCode};
use codex_telemetry::{ActiveCall, otlp::Stats};
use serde::Serialize;

use crate::{app::App, callers::Authorized};

#[derive(Serialize)]
pub(crate) struct Health {
    status: &'static str,
    /// How many calls of all callers are active, by operation.
    active: BTreeMap<&'static str, usize>,
    /// The active calls of the caller itself, with their ages and phases.
    calls: Vec<ActiveCall>,
    /// What the exporter has delivered; `null` if there is none.
    export: Option<Stats>,
}

pub(crate) async fn health(
    State(app): State<App>,
    Authorized(caller): Authorized,
) -> (StatusCode, Json<Health>) {
    // So that a balancer sends nothing more.
    let (code, status) = match app.is_draining() {
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        false => (StatusCode::OK, "ok"),
    };
    let mut calls = app.active.snapshot();
    let mut active = BTreeMap::new();
    for call in &calls {
        *active.entry(call.operation.as_str()).or_default() += 1;
    }
    calls.retain(|call| call.originator.as_ref() == Some(&caller.originator));
    let health = Health {
        status,
        active,
        calls,
        export: app.export.as_ref().map(|export| export.stats()),
    };
    (code, Json(health))
}
