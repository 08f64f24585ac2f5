//! `turn`, with a fake Codex that does what a test's script says.

mod adopted;
#[path = "../support/checked/mod.rs"]
mod checked;
mod content;
mod drain;
mod dropping;
mod endings;
mod environment;
mod innocent;
mod late;
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
mod warnings;
