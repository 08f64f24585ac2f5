//! The examples, as a user runs them.
//!
//! `cargo test` builds them beside the tests.

#[path = "../support/checked/mod.rs"]
mod checked;
mod exec;
mod quickstart;
mod support;
