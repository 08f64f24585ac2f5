//! The reference program `examples/service` as a whole: a process, with its stand-in for Codex, an HTTP client, and an
//! OTLP receiver. `cargo test` builds it together with the tests.
//!
//! Each program has a state directory and a receiver of its own. A program that a test [ends](program::Program::ends) has
//! told the receiver and its file of events the same: one start and one end of every call.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

mod access;
mod approvals;
#[path = "../real_codex/binary.rs"]
mod binary;
#[path = "../support/checked/mod.rs"]
mod checked;
mod client;
mod codex;
mod crowd;
mod ending;
mod events;
#[expect(dead_code, reason = "the tests with the real Codex use more of it")]
#[path = "../real_codex/gate.rs"]
mod gate;
mod health;
#[expect(dead_code, reason = "the tests with the real Codex use more of it")]
#[path = "../real_codex/isolated.rs"]
mod isolated;
mod load;
mod lost;
#[expect(dead_code, reason = "the tests with the real Codex use more of it")]
#[path = "../real_codex/model.rs"]
mod model;
mod privacy;
mod program;
#[path = "../otlp/receiver/mod.rs"]
mod receiver;
#[expect(dead_code, reason = "the tests with the real Codex use more of it")]
#[path = "../real_codex/reply.rs"]
mod reply;
mod state;
mod trace;
mod turns;
mod uploads;
