//! Tests of the MCP server.

#![cfg(all(feature = "mcp", unix))]

mod access;
mod calls;
#[path = "../support/checked/mod.rs"]
mod checked;
mod ending;
mod events;
mod logs;
mod support;
mod turns;
