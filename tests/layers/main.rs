//! What the three layers promise, alone, together in any order, and among tower's own middleware.

mod bounds;
#[path = "../support/checked/mod.rs"]
mod checked;
mod classification;
mod disabled;
mod nested;
mod notes;
mod orders;
mod outcomes;
mod panicking_sinks;
mod panics;
mod readiness;
mod support;
mod time;
mod tower_stack;
