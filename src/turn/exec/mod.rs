//! Turns by `codex exec --json`: one process per turn.
//!
//! The service adds its defaults to a request and turns it into an invocation. The run feeds the process
//! and reads its lines. Each line is decoded, and the turn state folds the lines into the turn, its tool
//! calls and its stats.

mod builder;
mod decode;
mod invocation;
#[cfg(any(test, fuzzing))]
mod properties;
mod rollout;
mod run;
mod service;
#[cfg(test)]
mod tests;
mod turn_state;

#[cfg(fuzzing)]
pub use self::properties::{any_chunking, any_output};
pub use self::{builder::CodexExecBuilder, service::CodexExec};
