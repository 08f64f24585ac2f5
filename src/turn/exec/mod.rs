//! Turns by `codex exec --json`: one process a turn.
//!
//! A request walks down this list: the service makes an invocation of it, the run feeds the process
//! and reads it line by line, each line is decoded, and the transcript folds the lines into a turn,
//! into tool calls and into facts on the open call.

mod decode;
mod facts;
mod invocation;
mod lines;
mod redact;
mod rollout;
mod run;
mod service;
mod tail;
mod tools;
mod transcript;

pub use self::service::{TurnFuture, TurnService, TurnServiceBuilder};

#[cfg(fuzzing)]
pub use self::{lines::checks::any_chunking, transcript::checks::any_output};
