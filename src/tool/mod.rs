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
//! Arguments and outputs are content. No `Debug` output contains them and no event records them. An
//! error that is returned to the caller [can quote the arguments](ToolError#what-is-recorded).
//!
//! ```
//! use codex_telemetry::{
//!     ErrorClass, ErrorClassLayer, MemorySink, TimingLayer,
//!     tool::{ToolCall, ToolError, ToolService, tool_fn},
//! };
//! use serde_json::json;
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), ToolError> {
//! let sum = tool_fn(|terms: Vec<i64>, _context| async move {
//!     Ok::<_, ToolError>(terms.iter().sum::<i64>())
//! });
//! let tools = ToolService::builder().tool("sum", sum).build();
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
pub mod function;
pub mod future;
mod service;
mod stats;

pub(crate) use self::error::redacted_message;
pub use self::{
    approval::ApprovalLayer,
    builder::ToolServiceBuilder,
    call::{ToolCall, ToolOutput},
    error::{ArgumentsError, ToolError},
    function::tool_fn,
    service::ToolService,
    stats::ToolStats,
};
