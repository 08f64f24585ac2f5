//! What `RetryPolicy` tries again, when, for how long, and what is told of it.

mod budget;
mod calls;
#[path = "../support/checked/mod.rs"]
mod checked;
mod classes;
mod support;
mod waits;
