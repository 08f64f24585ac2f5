//! How Codex is started: its binary, its environment, and what has to be right about a request.

mod binary;
mod check;
mod environment;
pub(super) mod toml;

pub(super) use self::{
    binary::find_codex,
    check::{check, check_config, thread_id},
    environment::{Environment, traceparent},
};
