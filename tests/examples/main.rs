//! Runs the examples as a user does. `cargo test` builds them together with the tests.

mod app_server;
#[path = "../real_codex/binary.rs"]
mod binary;
#[path = "../support/checked/mod.rs"]
mod checked;
mod exec;
mod fake_server;
#[expect(dead_code, reason = "the tests with the real Codex use more of it")]
#[path = "../real_codex/gate.rs"]
mod gate;
#[cfg(all(feature = "mcp", feature = "schemars"))]
mod host_tools;
#[expect(dead_code, reason = "the tests with the real Codex use more of it")]
#[path = "../real_codex/isolated.rs"]
mod isolated;
#[expect(dead_code, reason = "the tests with the real Codex use more of it")]
#[path = "../real_codex/model.rs"]
mod model;
mod processes;
mod quickstart;
mod readme;
mod real;
#[expect(dead_code, reason = "the tests with the real Codex use more of it")]
#[path = "../real_codex/reply.rs"]
mod reply;
mod support;
mod terminal;
mod timeline;
mod user;
