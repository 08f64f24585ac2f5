//! The examples, as a user runs them.
//!
//! `cargo test` builds them beside the tests.

mod exec;
mod quickstart;
mod support;
