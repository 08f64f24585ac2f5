//! Turns by `codex app-server`: one process, many turns.
//!
//! A turn locks its thread, leases a server, loads the thread, and has a slot at the router. The connection reads
//! the lines of the server, and the router folds each into the state of the turn that it is about. The turn's
//! future asks the approver, delivers progress, and takes the result.
//!
//! ```text
//! service ─► run ─► servers ─► server ─► connection ─► router ─► slot ─► turn state
//!             │                                          ▲
//!             └─► running turn ── requests, answers ─────┘
//! ```

#[cfg(test)]
mod agreement;
mod approvals;
mod attributes;
mod builder;
mod connection;
mod decode;
mod host_calls;
mod items;
#[cfg(any(test, fuzzing))]
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "the fuzz target connects, and tests do more")
)]
mod peer;
#[cfg(any(test, fuzzing))]
mod properties;
mod questions;
mod requests;
mod responses;
mod router;
mod run;
mod running_turn;
mod server;
mod servers;
mod service;
mod slot;
#[cfg(test)]
mod tests;
mod thread_locks;
mod thread_tools;
mod threads;
mod tokens;
mod turn_state;
mod turns;

#[cfg(fuzzing)]
pub use self::properties::{any_reads, any_server};
pub use self::{builder::CodexAppServerBuilder, service::CodexAppServer};
