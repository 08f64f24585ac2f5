//! A child process and everything that it starts: spawn, end, orphaned processes, watchdog.
//!
//! The module does not depend on turns. One thread owns each child, from its start until nothing of it is
//! left: see `monitor.rs`.

mod child;
mod drained;
mod handle;
mod monitor;
#[cfg(target_os = "linux")]
mod orphans;
#[cfg(target_os = "linux")]
mod proc_fs;
mod supervisor;
mod tag;
#[cfg(test)]
mod tests;
mod tree;
mod warnings;
mod watchdog;

pub use self::drained::Drained;
pub(in crate::turn) use self::{
    child::{ChildProcess, Exit, Waiting, limit_to_waiting},
    supervisor::{Active, Supervisor, SupervisorConfig},
};
