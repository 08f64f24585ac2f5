//! A registry of tools as tower services, with an approval layer and stats for each tool.
//!
//! ```text
//! ToolCall { name, arguments, context } ──► ToolService ── by name ──► ApprovalService ──► the tool
//!                                             │ unknown, disabled        │ declined, late
//!                                             ▼                          ▼
//!                                          ToolError                  ToolError
//! ```
//!
//! [`ToolService`] routes a [`ToolCall`] to the tool of that name. A tool is any tower service of
//! `ToolCall`; [`tool_fn`] turns an async function into one. [`ApprovalLayer`] asks an approver before
//! a tool runs; it wraps one tool or the whole registry. To get events, wrap the registry in
//! [`TimingLayer`](crate::TimingLayer) and [`ErrorClassLayer`](crate::ErrorClassLayer), with
//! [`ToolError::classification`] as the classifier.
//!
//! # A call by the model
//!
//! [`HostTools`] gives a registry to a model: to that of a [`CodexAppServer`](crate::turn::CodexAppServer), by
//! [`CodexAppServerBuilder::tools`](crate::turn::CodexAppServerBuilder::tools), or with the feature `mcp` over MCP to that of
//! any turn and to other clients. One call of a turn by the app-server, from the model and back:
//!
//! ```text
//! model ──► Codex ──► item/tool/call ──► the future of the turn
//!                                           │ ToolCall { name, arguments, context }
//!                                           ▼
//!                              HostTools: the deadline, panics
//!                                           ▼
//!                      your stack: TimingLayer, ErrorClassLayer ──► codex.tool.start
//!                                           ▼
//!                       ToolService ──► ApprovalLayer ──► the tool
//!                                           ▼
//! model ◄── Codex ◄── text, images ◄── ToolOutput or ToolError ──► codex.tool.stop or .exception
//! ```
//!
//! The calls run in the future of the turn, several at once, each with the deadline: a turn that is dropped or ends drops
//! them. A `TimingLayer` in the stack makes the event of a call; without one, Codex's item makes it, once the call has
//! ended. The model reads the result, or [what it may know](ToolError::message_for_model) of a failure, and the turn goes on.
//!
//! The guide to [host tools](crate::guide::host_tools) has the rest: names and schemas, results, deadlines, threads, MCP,
//! and tests.
//!
//! # Content
//!
//! Arguments and outputs are content. No `Debug` output contains them and no event records them. An
//! error that is returned to the caller [can quote the arguments](ToolError#what-is-recorded).
//!
//! ```
//! use codex_telemetry::{
//!     ErrorClass, ErrorClassLayer, MemorySink, TimingLayer,
//!     tool::{ToolCall, ToolError, ToolService, ToolSpec, tool_fn},
//! };
//! use serde_json::json;
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sum = tool_fn(|terms: Vec<i64>, _context| async move {
//!     Ok::<_, ToolError>(terms.iter().sum::<i64>())
//! });
//! let tools = ToolService::builder().tool(ToolSpec::new("sum", "Adds numbers"), sum).build()?;
//!
//! let sink = MemorySink::new();
//! let stack = ServiceBuilder::new()
//!     .layer(TimingLayer::new(sink.clone()))
//!     .layer(ErrorClassLayer::new(ToolError::classification))
//!     .service(tools.clone());
//!
//! let output = stack.clone().oneshot(ToolCall::new("sum", json!([1, 2, 3]))).await?;
//! assert_eq!(output.content, json!(6));
//!
//! let failed = stack.oneshot(ToolCall::new("sum", json!(["one"]))).await;
//! assert!(matches!(failed, Err(ToolError::InvalidArguments { .. })));
//! assert_eq!(sink.events()[3].error_class(), Some(ErrorClass::InvalidArguments));
//! assert_eq!(tools.stats()["sum"].failure, 1);
//! # Ok(())
//! # }
//! ```

pub mod approval;
mod builder;
mod call;
mod error;
mod failure;
pub mod function;
pub mod future;
#[cfg(all(feature = "turn", unix))]
mod host;
mod output;
mod schema;
mod service;
mod spec;
mod spec_error;
mod stats;
mod validation;

pub(crate) use self::error::redacted_message;
#[cfg(all(feature = "turn", unix))]
pub use self::host::HostTools;
#[cfg(all(feature = "turn", unix))]
pub(crate) use self::output::MediaKind;
#[cfg(feature = "mcp")]
pub(crate) use self::validation::has_name_chars;
pub use self::{
    approval::ApprovalLayer,
    builder::ToolServiceBuilder,
    call::ToolCall,
    error::{ArgumentsError, ToolError},
    failure::ToolFailure,
    function::tool_fn,
    output::{IntoToolOutput, Media, ToolOutput},
    service::ToolService,
    spec::ToolSpec,
    spec_error::ToolSpecError,
    stats::ToolStats,
};
