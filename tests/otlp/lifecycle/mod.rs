//! From any executor or none, to the end of the sink and of the process.

mod dropping;
mod endpoints;
mod exit;
mod runtimes;
mod silence;
#[path = "../../examples/support.rs"]
mod support;
