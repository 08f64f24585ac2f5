//! Turns by `codex app-server`: one process, many turns.

mod builder;
mod service;

pub use self::{builder::CodexAppServerBuilder, service::CodexAppServer};
