//! What an operator has to know of the processes of this program. Without the feature `tracing` nobody does.
#![cfg_attr(not(feature = "tracing"), expect(unused_variables))]

use std::io;

use rustix::process::Pid;

/// Orphaned processes were not killed.
#[cfg(target_os = "linux")]
pub(super) fn orphans_spared(pids: &[Pid]) {
    #[cfg(feature = "tracing")]
    {
        let pids: Vec<_> = pids
            .iter()
            .map(|pid| pid.as_raw_nonzero().to_string())
            .collect();
        let pids = pids.join(", ");
        ::tracing::warn!(
            target: "codex_telemetry",
            "orphaned processes were left running, since they may work for others: {pids}; end them by hand, \
             or set `kill_doubtful_orphans`"
        );
    }
}

/// A process does not exit.
pub(super) fn process_not_exiting(pid: Pid) {
    #[cfg(feature = "tracing")]
    ::tracing::warn!(
        target: "codex_telemetry",
        "process {pid} was killed and does not exit: the kernel holds it, often for a file system that does \
         not answer"
    );
}

/// A watchdog did not start.
pub(super) fn watchdog_not_started(error: &io::Error) {
    #[cfg(feature = "tracing")]
    ::tracing::warn!(
        target: "codex_telemetry",
        "the watchdog did not start, so Codex outlives this program if it is killed: {error}"
    );
}

/// A thread that reaps a watchdog did not start.
pub(super) fn watchdog_not_reaped(error: &io::Error) {
    #[cfg(feature = "tracing")]
    ::tracing::warn!(
        target: "codex_telemetry",
        "a watchdog that has exited stays a zombie, since a thread did not start: {error}"
    );
}

/// The thread of a child has no free descriptor to read `/proc` with.
#[cfg(target_os = "linux")]
pub(super) fn descriptors_missing() {
    #[cfg(feature = "tracing")]
    ::tracing::warn!(
        target: "codex_telemetry",
        "processes of Codex may be left: the program has too many open files to find them"
    );
}
