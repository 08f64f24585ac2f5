//! Middleware that sets the originator of each request.

mod layer;
mod service;

pub use self::{layer::OriginatorLayer, service::OriginatorService};
