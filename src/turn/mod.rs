//! Turns of an agent: a request in, progress while it works, a final message out.
//!
//! [`TurnService`] runs each turn in a `codex exec` process of its own. Requests, responses, errors
//! and progress say nothing of that: another way to run turns can take and give the same.

mod error;
mod exec;
mod failure;
mod item;
mod process;
mod progress;
mod request;
mod response;
mod retry_after;
mod stream;

pub use self::{
    error::TurnError,
    exec::{TurnFuture, TurnService, TurnServiceBuilder},
    item::{Change, Item, ItemKind, ItemStatus, Step},
    progress::Progress,
    request::{Sandbox, TurnRequest},
    response::{Turn, Usage},
    stream::{TurnStream, TurnUpdate, turn_stream},
};

#[cfg(fuzzing)]
#[doc(hidden)]
pub use self::exec::{any_chunking, any_output};
