//! Middleware that asks an approver before a tool runs.

pub mod future;
mod layer;
mod service;

pub use self::{layer::ApprovalLayer, service::ApprovalService};
