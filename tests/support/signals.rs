//! Which signals what a test starts can die by.
#![cfg(target_os = "linux")]

use std::fs;

use rustix::process::Signal;

/// Whether a signal is ignored here, and so by what is started: a script has SIGINT and SIGQUIT ignored
/// by what it runs in the background.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    // Rust ignores it for itself, and not for its children.
    if signal == Signal::PIPE {
        return false;
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}
