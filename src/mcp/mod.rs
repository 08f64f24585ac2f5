//! A server by which Codex and other clients call the tools of a program over MCP.
//!
//! ```text
//! Codex ──► HTTP on loopback ──► token? ──► the turn that has it ──► HostTools ──► the stack of the program
//!                                  │ a client's own                      ▲
//!                                  └────────────────────────────────────┘
//! ```
//!
//! `codex exec` has no other way to call a tool of the program that runs it. With the app-server the
//! [tools of the service](crate::turn::CodexAppServerBuilder::tools) do the same without a port.
//!
//! [`McpServer`] has the details, and the guide to [host tools](crate::guide::host_tools#over-mcp) compares the two ways.

mod access;
mod builder;
mod gate;
mod grants;
mod handler;
mod incoming_call;
mod listener;
mod pending_call;
mod results;
mod secret;
mod server;
mod token;
mod turn_request;

pub use self::{builder::McpServerBuilder, server::McpServer, token::McpToken};
