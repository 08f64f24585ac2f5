//! Middleware that asks an approver before a tool runs.

mod deadline;
pub mod future;
mod layer;
mod request;
mod service;

pub use self::{
    layer::ApprovalLayer,
    request::{ApprovalRequest, Decision},
    service::ApprovalService,
};
