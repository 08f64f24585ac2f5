//! Runs the examples as a user does. `cargo test` builds them together with the tests.

mod app_server;
#[path = "../real_codex/binary.rs"]
mod binary;
#[path = "../support/checked/mod.rs"]
mod checked;
mod exec;
#[expect(dead_code, reason = "the tests with the real Codex use more of it")]
#[path = "../real_codex/gate.rs"]
mod gate;
#[expect(dead_code, reason = "the tests with the real Codex use more of it")]
#[path = "../real_codex/isolated.rs"]
mod isolated;
#[path = "../real_codex/model.rs"]
mod model;
mod quickstart;
mod real;
#[expect(dead_code, reason = "the tests with the real Codex use more of it")]
#[path = "../real_codex/reply.rs"]
mod reply;
mod support;
mod user;
