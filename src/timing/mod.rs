//! Middleware that opens a call for each request, times it, and emits its start and its end to a sink.

pub mod future;
mod layer;
mod service;

pub use self::{layer::TimingLayer, service::TimingService};
