//! What `RetryPolicy` retries, when, how often, and how it reports that.

mod budget;
mod calls;
#[path = "../support/checked/mod.rs"]
mod checked;
mod classes;
mod support;
mod waits;
