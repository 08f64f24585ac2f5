//! `turn`, with a fake Codex that does what a test's script says.

#[path = "../support/checked/mod.rs"]
mod checked;
mod endings;
mod environment;
mod innocent;
mod matrix;
mod orphans;
mod output;
mod processes;
mod request;
#[path = "../support/signals.rs"]
mod signals;
mod stream;
mod support;
mod tools;
mod values;
