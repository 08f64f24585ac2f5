//! Turns of an agent: a request in, progress while the agent works, a final message out.
//!
//! [`TurnService`] runs each turn in a `codex exec` process of its own. Requests, responses, errors and
//! progress do not depend on that: another service can take and return the same types, whether it runs
//! turns in another way or is a fake in a test.
//!
//! ```
//! use codex_telemetry::turn::{Turn, TurnError, TurnRequest};
//! use tower::{ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let fake = service_fn(|request: TurnRequest| async move {
//!     match request.model() {
//!         Some("gpt-0") => Err(TurnError::Failed {
//!             message: "unknown model".into(),
//!         }),
//!         _ => Ok(Turn::new().with_final_message(request.prompt())),
//!     }
//! });
//! let turn = fake.oneshot(TurnRequest::new("Say hi")).await.unwrap();
//! assert_eq!(turn.final_message.as_deref(), Some("Say hi"));
//! # }
//! ```

mod error;
mod exec;
mod failure;
mod item;
mod json_text;
mod process;
mod progress;
mod redact;
mod request;
mod response;
mod sandbox;
mod stream;
mod usage;

pub use self::{
    error::TurnError,
    exec::{TurnFuture, TurnService, TurnServiceBuilder},
    item::{FileUpdateChange, Item, ItemKind, ItemStatus, TodoItem},
    json_text::JsonText,
    process::Drained,
    progress::Progress,
    request::TurnRequest,
    response::Turn,
    sandbox::Sandbox,
    stream::{TurnStream, TurnUpdate, turn_stream},
    usage::Usage,
};

pub(crate) use self::error::recorded_message;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use self::exec::{any_chunking, any_output};
