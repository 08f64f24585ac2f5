//! A child process and everything that it starts: spawn, kill, orphaned processes, watchdog.
//!
//! The module does not depend on turns.

mod child;
#[cfg(target_os = "linux")]
mod proc_fs;
mod reaper;
mod tag;
mod tree;
mod watchdog;

pub(in crate::turn) use self::{
    child::ChildProcess,
    watchdog::{Watchdog, WatchdogProcess},
};
