//! The layers as a user meets them: around what others wrote, and inside of what others run.

mod axum_handler;
mod boxed;
#[path = "../support/checked/mod.rs"]
mod checked;
mod foreign_client;
mod local_set;
mod routed;
mod send;
mod streams;
mod support;
