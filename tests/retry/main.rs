//! What `RetryPolicy` retries, when, how often, and how it reports that.

mod budget;
mod calls;
#[path = "../support/checked/mod.rs"]
mod checked;
mod classes;
#[cfg(unix)]
mod phases;
mod support;
mod waits;
