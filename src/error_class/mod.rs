//! Middleware that says why a call failed.

mod classify;
pub mod future;
mod layer;
mod service;

pub use self::{classify::Classify, layer::ErrorClassLayer, service::ErrorClassService};
