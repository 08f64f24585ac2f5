//! RUNBOOK.md, tried: its commands are run, and what they print is compared with what the page says.
//!
//! - A block of `sh` is run by bash, in the order of the page, but those of the section "Practice" first.
//!   All share one shell, as they would in a reader's terminal, in a directory of their own. It has to
//!   succeed, and to print what the block of `text` behind it says, or nothing.
//! - A block of `sh live` goes on by itself. It is started, the next block of `sh` is run once its first line
//!   is there, and it is ended when it has printed what the page says.
//! - In what is printed, `…` stands for any text within a line, and for any number of lines where it
//!   is alone.
//! - `cargo run --quiet --example` runs the example as it was built beside these tests, and
//!   `127.0.0.1:4318` is a receiver of OTLP with a port of its own.
//!
//! Without the tools that the page asks for, the test passes, having done nothing, and one line on standard
//! error says so; with `CODEX_TELEMETRY_REQUIRE_RUNBOOK=1` it fails instead.
#![allow(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

mod blocks;
mod classes;
mod clocks;
mod harness;
mod notation;
mod page;
mod probe;
mod queries;
#[path = "../otlp/receiver/mod.rs"]
mod receiver;
mod rotation;
mod run;
mod session;
mod tools;
mod warnings;
