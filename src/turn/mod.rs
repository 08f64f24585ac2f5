//! Turns of an agent: a request in, progress while the agent works, a final message out.
//!
//! Two services run turns with the Codex CLI: [`CodexExec`] each in a `codex exec` process of its own, and
//! [`CodexAppServer`] many in one `codex app-server`. They take the same [`TurnRequest`]s, return the same [`Turn`]s
//! and [`TurnError`]s, and send the same [`Progress`], so in a stack of layers only the innermost line differs.
//!
//! # Which service
//!
//! [`CodexExec`] is for a job that ends: a turn in a script, in continuous integration, or of its own user or
//! environment. [`CodexAppServer`] is for a program that lives: conversations, many turns, and a person or a policy
//! that approves what Codex wants to do.
//!
//! | | [`CodexExec`] | [`CodexAppServer`] |
//! |---|---|---|
//! | processes | one for each turn | one server, which the first turn starts |
//! | environment | of each turn | of the server, for all turns |
//! | approvals | Codex never asks: what would need one is refused | an [approver](CodexAppServerBuilder::approver) decides |
//! | tools of the program | over MCP, with the feature `mcp` | on the server's pipe ([`tools`](CodexAppServerBuilder::tools)), or over MCP |
//! | progress | complete items | also parts of messages, reasoning and output as they come |
//! | responses of the model | – | child calls with tokens and the time to the first token |
//!
//! The [guide](crate::guide::transports) has the whole comparison, what each costs, and how to move from one to the other.
//! The same cause has the same [class](crate::error_classes) by both, with the exceptions that the page names.
//!
//! # A turn, from its request to its end
//!
//! ```text
//! TurnRequest ──► your stack: OriginatorLayer, TimingLayer, ErrorClassLayer ──► codex.turn.start
//!                   ▼
//!                 CodexExec or CodexAppServer ──► Codex ──► the model            codex.chat
//!                   ◄── a command, an edit, an MCP tool: an item                 codex.tool
//!                   ◄── may I? ──► the approver                                  codex.approval
//!                   ◄── a tool of the program ──► HostTools, your stack of tools codex.tool
//!                   ◄── texts, usage, the end
//!                   ▼
//! Turn or TurnError ──► codex.turn.stop or .exception
//! ```
//!
//! All calls of a turn are in the trace of its request, and those in the last column are its children. By
//! [`CodexExec`] there are no model responses, and no questions of Codex.
//! [`tool`](crate::tool#a-call-by-the-model) follows the call of a tool of the program.
//!
//! Requests, responses, errors and progress do not depend on how a turn is run: another service can take and return
//! the same types, whether it runs turns in another way or is a fake in a test.
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
mod command_output;
mod error;
mod error_info;
mod exec;
mod failure;
mod future;
mod item;
mod json_text;
#[cfg(test)]
mod phase_oracle;
mod process;
mod progress;
mod progress_queue;
mod prompt;
mod rate_limits;
mod redact;
mod request;
mod response;
mod sandbox;
mod served_calls;
mod stream;
mod tool_server;
mod usage;
mod wire;

pub use self::{
    app_server::{CodexAppServer, CodexAppServerBuilder},
    approval_policy::ApprovalPolicy,
    command_output::CommandOutput,
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

pub(crate) use self::{error::recorded_message, prompt::image_type};
#[cfg(feature = "mcp")]
pub(crate) use self::{
    served_calls::ServedCalls,
    tool_server::{ServingTools, ToolAccess, ToolServer},
};

#[cfg(fuzzing)]
#[doc(hidden)]
pub use self::{
    app_server::{any_reads, any_server},
    exec::{any_chunking, any_output},
};
