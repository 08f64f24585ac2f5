//! Turns of an agent: a request in, progress while the agent works, a final message out.
//!
//! [`CodexExec`] runs each turn in a `codex exec` process of its own. Requests, responses, errors and
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
//!         Some("gpt-0") => Err(TurnError::failed("unknown model")),
//!         _ => Ok(Turn::new().with_final_message(request.prompt())),
//!     }
//! });
//! let turn = fake.oneshot(TurnRequest::new("Say hi")).await.unwrap();
//! assert_eq!(turn.final_message.as_deref(), Some("Say hi"));
//! # }
//! ```

mod app_server;
mod approval_policy;
mod calls;
mod cli;
mod error;
mod error_info;
mod exec;
mod failure;
mod future;
mod item;
mod json_text;
mod process;
mod progress;
mod progress_queue;
mod rate_limits;
mod redact;
mod request;
mod response;
mod sandbox;
mod stream;
mod usage;
mod wire;

pub use self::{
    app_server::{CodexAppServer, CodexAppServerBuilder},
    approval_policy::ApprovalPolicy,
    error::TurnError,
    error_info::CodexErrorInfo,
    exec::{CodexExec, CodexExecBuilder},
    future::TurnFuture,
    item::{Item, ItemKind, ItemStatus, TodoItem},
    json_text::JsonText,
    process::Drained,
    progress::Progress,
    rate_limits::{RateLimitWindow, RateLimits},
    request::TurnRequest,
    response::Turn,
    sandbox::Sandbox,
    stream::{TurnStream, TurnUpdate, turn_stream},
    usage::Usage,
};
pub use crate::approval::FileUpdateChange;

pub(crate) use self::error::recorded_message;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use self::{
    app_server::{any_reads, any_server},
    exec::{any_chunking, any_output},
};
