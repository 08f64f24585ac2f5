//! The sink in different executors, and at the end of the sink and of the process.

mod disabled;
mod dropping;
mod endpoints;
mod exit;
mod runtimes;
#[path = "../../examples/support.rs"]
mod support;
