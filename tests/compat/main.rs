//! The layers around clients, services and servers of other crates.

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
