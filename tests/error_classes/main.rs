//! The error classes, and `docs/error-classes.md`, which describes them.
#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in tests only, and not in their helpers"
)]

mod classifier;
mod extended;
mod messages;
mod page;
mod support;
