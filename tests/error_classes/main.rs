//! The classes of errors, and `docs/error-classes.md`, which tells of them.
#![allow(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

mod classifier;
mod extended;
mod newcomers;
mod page;
mod support;
