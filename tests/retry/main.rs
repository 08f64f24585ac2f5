//! What `RetryPolicy` tries again, when, for how long, and what is told of it.

mod budget;
mod calls;
mod classes;
mod support;
mod waits;
