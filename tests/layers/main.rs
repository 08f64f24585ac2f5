//! What the three layers promise: alone, together in any order, and among tower's middleware.

mod annotations;
mod attribute_limits;
mod bounds;
#[path = "../support/checked/mod.rs"]
mod checked;
mod classification;
mod content;
mod context;
mod debug_output;
mod disabled;
mod kept_open;
mod names;
mod nested;
mod orders;
mod outcomes;
mod panicking_sinks;
mod panics;
mod readiness;
mod services;
mod support;
mod time;
mod tower_stack;
