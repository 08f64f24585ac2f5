//! Whether a signal ends the processes that a test starts.
#![cfg(target_os = "linux")]

use std::fs;

use rustix::process::Signal;

/// Returns whether this process ignores `signal`, which its child processes inherit.
///
/// A shell script makes its background processes ignore SIGINT and SIGQUIT, for example.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    // The Rust runtime ignores it in this process, and restores it for child processes.
    if signal == Signal::PIPE {
        return false;
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}
