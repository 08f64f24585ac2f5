//! Runs the examples as a user does. `cargo test` builds them together with the tests.

mod app_server;
#[path = "../support/checked/mod.rs"]
mod checked;
mod exec;
mod quickstart;
mod support;
mod user;
