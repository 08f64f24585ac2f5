//! Approvals: a request, an approver that answers it with a decision, and a deadline.
//!
//! An approver is a tower service of [`ApprovalRequest`] that returns a [`Decision`]. The same approver serves the
//! program's own tools, by `tool::ApprovalLayer`, and what Codex asks in a turn, by
//! `turn::CodexAppServerBuilder::approver`. It is layered like any other service: with a
//! [`TimingLayer`](crate::TimingLayer) around it, each request is a call `codex.approval`, as a child of the tool's
//! call.
//!
//! ```
//! use codex_telemetry::approval::{Action, ApprovalRequest, Decision};
//! use std::convert::Infallible;
//! use tower::{ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let approver = service_fn(|request: ApprovalRequest| async move {
//!     Ok::<_, Infallible>(match &request.action {
//!         Action::Command { command, .. } if command == "cargo test" => Decision::Accept,
//!         _ => Decision::decline("only the tests may run"),
//!     })
//! });
//!
//! let asked = ApprovalRequest::new("command_execution", Action::command("rm -rf target"));
//! assert!(matches!(approver.oneshot(asked).await, Ok(Decision::Decline { .. })));
//! # }
//! ```

mod action;
mod ask;
mod deadline;
mod decision;
mod file_change;
mod request;

pub(crate) use self::ask::{Answer, Ask, Wait};
pub use self::{
    action::Action, decision::Decision, file_change::FileUpdateChange, request::ApprovalRequest,
};
