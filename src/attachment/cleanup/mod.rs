//! The service that sweeps what has expired out of a store.

mod error;
pub mod future;
mod report;
mod request;
mod service;
mod sweep;

pub use self::{
    error::CleanupError,
    report::{CleanupFailure, CleanupReport},
    request::CleanupRequest,
    service::CleanupService,
};
