//! The sink in different executors, and at the end of the sink and of the process.

mod asynchronous;
mod disabled;
mod dropping;
mod endpoints;
mod exit;
mod runtimes;
mod shutdown;
#[path = "../../examples/support.rs"]
mod support;
