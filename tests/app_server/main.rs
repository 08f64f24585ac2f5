//! `turn::CodexAppServer`, with a fake server that does what a test's script says.
#![cfg(unix)]

mod approvals;
#[path = "../support/checked/mod.rs"]
mod checked;
mod ending;
mod faults;
mod growth;
mod host_tools;
mod inputs;
mod phases;
mod protocol;
mod responses;
mod startup;
mod support;
mod traps;
#[cfg(target_os = "linux")]
mod watchdog;
