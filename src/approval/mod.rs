//! Approvals: a request, an approver that answers it with a decision, and a deadline.
//!
//! An approver is a tower service of [`ApprovalRequest`] that returns a [`Decision`]. The same approver serves the
//! program's own tools, by `tool::ApprovalLayer`, and what Codex asks in a turn, by
//! `turn::CodexAppServerBuilder::approver`.
//!
//! Nothing is done unless the approver accepts it in time. An approver that fails, panics, is never ready or answers
//! late is a refusal.
//!
//! The [guide](crate::guide::approvals) says what Codex asks by which policy, and has an approver in code and one for people.
//!
//! # What is recorded
//!
//! The call of the tool has two attributes: [`APPROVAL_WAIT`](crate::event::names::APPROVAL_WAIT), how long it
//! waited, and [`APPROVAL_DECISION`](crate::event::names::APPROVAL_DECISION), what was decided. An approver is layered
//! like any other service: with a [`TimingLayer`](crate::TimingLayer) around it, each request is a call
//! `codex.approval` as well, as a child of the tool's call, and with an
//! [`ErrorClassLayer`](crate::ErrorClassLayer) its failures have a class. That call does not repeat the decision, so
//! that metrics count each decision once; an approver can record what else it knows, such as who was asked.
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
//!         // By the shell of the user, as Codex runs it.
//!         Action::Command { command, .. } if command == "/bin/bash -lc 'cargo test'" => Decision::Accept,
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
mod wait;

pub use self::{
    action::Action, decision::Decision, file_change::FileUpdateChange, request::ApprovalRequest,
};
pub(crate) use self::{
    ask::{Answer, Ask},
    wait::Wait,
};
