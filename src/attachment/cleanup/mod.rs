//! The service that removes expired attachments from a store.

pub mod future;
mod report;
mod service;
mod sweep;

pub use self::{
    report::{CleanupFailure, CleanupReport},
    service::{CleanupRequest, CleanupService},
};
