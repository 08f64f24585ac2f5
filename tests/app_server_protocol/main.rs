//! What `codex app-server` says, recorded in `tests/data/app_server`, and what others make of it.
//!
//! `scripts/record-transcripts` records it again.
#![allow(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

#[path = "../real_codex/binary.rs"]
mod binary;
mod codex_codes_types;
#[expect(dead_code, reason = "the tests with the real Codex use more of it")]
#[path = "../real_codex/gate.rs"]
mod gate;
#[path = "../real_codex/mcp_stub.rs"]
mod mcp_stub;
#[expect(dead_code, reason = "the tests with the real Codex use more of it")]
#[path = "../real_codex/model.rs"]
mod model;
mod record;
mod recorder;
#[expect(dead_code, reason = "the tests with the real Codex use more of it")]
#[path = "../real_codex/reply.rs"]
mod reply;
mod transcript;
