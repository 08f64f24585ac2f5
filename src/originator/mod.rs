//! Middleware that says who asked.

mod layer;
mod service;

pub use self::{layer::OriginatorLayer, service::OriginatorService};
