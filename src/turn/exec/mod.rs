//! Turns by `codex exec --json`: one process a turn.
//!
//! A request walks down this list: the service makes an invocation of it, the run feeds the process
//! and reads it line by line, each line is decoded, and the transcript folds the lines into a turn,
//! into tool calls and into facts on the open call.

mod decode;
mod facts;
mod invocation;
mod lines;
mod mark;
#[cfg(target_os = "linux")]
mod proc_fs;
mod process;
mod process_tree;
mod reaper;
mod redact;
mod rollout;
mod run;
mod service;
mod tail;
mod tools;
mod transcript;
mod watchdog;

pub use self::service::{TurnFuture, TurnService, TurnServiceBuilder};

#[cfg(fuzzing)]
pub use self::{lines::checks::any_chunking, transcript::checks::any_output};
