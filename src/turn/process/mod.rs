//! A child process and everything that it starts: spawn, end, orphaned processes, watchdog.
//!
//! Nothing here knows of turns.

mod child;
#[cfg(target_os = "linux")]
mod proc_fs;
mod reaper;
mod tag;
mod tree;
mod watchdog;

pub(in crate::turn) use self::{
    child::Process,
    watchdog::{Watchdog, WatchdogProcess},
};
