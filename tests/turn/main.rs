//! Turns of processes that behave as no real Codex should, through the full stack of layers.

#[path = "../support/checked/mod.rs"]
mod checked;
mod endings;
mod matrix;
mod orphans;
mod output;
mod processes;
mod request;
#[path = "../support/signals.rs"]
mod signals;
mod stream;
mod support;
