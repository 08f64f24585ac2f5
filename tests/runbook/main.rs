//! Runs the commands of RUNBOOK.md and compares their output with what the page shows.
//!
//! - A block of `sh` is run by bash in the order of the page; the section "Practice" is first. All blocks share one
//!   shell, as in a reader's terminal, in a directory of their own. Each must succeed, and must print the block of
//!   `text` behind it, or nothing.
//! - A block of `sh live` runs until it is interrupted. The next block of `sh` is run when the first line of its
//!   output is there. The live block ends when it has printed what the page shows.
//! - In a block of `text`, `…` matches any text within a line. Alone on a line, it matches any number of lines.
//! - `cargo run --quiet --example` runs the example that was built beside these tests. `127.0.0.1:4318` stands for
//!   an OTLP receiver with a port of its own.
//!
//! `links` follows the links to headings, and `thread_locks` checks with the real Codex by which files the page finds the
//! process that has a thread. `queries` parses the blocks of `promql` and `traceql`, those of docs/ as well, with the packages that `scripts/queries`
//! installs.
//!
//! If a tool that the page needs is missing, the tests pass without using it, and one line on standard error says
//! so. With `CODEX_TELEMETRY_REQUIRE_RUNBOOK=1` they fail instead.
#![allow(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

#[path = "../real_codex/binary.rs"]
mod binary;
mod commands;
mod links;
mod page;
mod pattern;
mod queries;
#[path = "../otlp/receiver/mod.rs"]
mod receiver;
mod rotation;
mod runner;
mod session;
mod tables;
mod thread_locks;
mod tools;
