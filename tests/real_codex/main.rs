//! The layered turn service with the real Codex CLI, against a model server on loopback.
//!
//! `scripts/fetch-codex` puts the binary where these tests look for it; `CODEX_TELEMETRY_TEST_CODEX`
//! names another one. Without a binary the tests do nothing and pass, and standard error has one line about
//! it; with `CODEX_TELEMETRY_REQUIRE_CODEX=1` they fail.
#![allow(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

mod app_server;
mod app_server_agreement;
mod app_server_approvals;
mod app_server_approvals_failing;
mod app_server_approvals_mcp;
mod app_server_cancel;
mod app_server_cancel_ending;
mod app_server_errors;
mod app_server_policies;
mod app_server_progress;
mod app_server_responses;
mod app_server_schema;
mod app_server_settings;
mod app_server_trace;
mod app_server_traps;
mod app_server_turns;
mod attachments;
mod bench;
mod binary;
mod calls;
mod cancel;
#[path = "../support/checked/mod.rs"]
mod checked;
mod content;
mod durations;
mod endings;
mod failures;
mod gate;
mod host_rig;
mod host_tools;
mod host_tools_agents;
mod host_tools_ending;
mod host_tools_events;
mod host_tools_failing;
mod host_tools_limits;
mod host_tools_names;
mod host_tools_scripts;
mod host_tools_threads;
mod identity;
mod inputs;
mod isolated;
mod limits;
mod mcp;
mod mcp_stub;
#[cfg(feature = "mcp")]
mod mcp_tools;
mod model;
mod one_trace;
mod orphans;
mod outcomes;
mod phases;
mod phases_approvals;
mod phases_ended;
mod phases_rig;
mod phases_waits;
mod picture;
mod processes;
mod progress;
mod refusals;
mod reply;
mod responses;
mod shutdown;
#[cfg(unix)]
#[path = "../support/signals.rs"]
mod signals;
mod startup;
mod statuses;
mod table;
mod thread;
mod tool_failures;
mod tools;
mod trace;
