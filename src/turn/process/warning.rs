use std::{fmt, io};

use rustix::process::Pid;

/// What an operator has to know of the processes of this program.
#[derive(Debug)]
pub(super) enum Warning<'a> {
    /// Orphaned processes were not killed.
    #[cfg(target_os = "linux")]
    Spared(&'a [Pid]),
    /// A process does not exit.
    Unkillable(Pid),
    /// A watchdog did not start.
    NoWatchdog(&'a io::Error),
    /// No descriptor was free for the search for processes.
    #[cfg(target_os = "linux")]
    NoDescriptors,
    /// A thread did not start.
    NoThread(&'a io::Error),
}

impl Warning<'_> {
    /// Logs the warning.
    pub(super) fn log(&self) {
        #[cfg(feature = "tracing")]
        ::tracing::warn!(target: "codex_telemetry", "{self}");
    }
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(target_os = "linux")]
            Self::Spared(pids) => {
                f.write_str(
                    "orphaned processes were left running, since they may work for others: ",
                )?;
                for (index, pid) in pids.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}{}", pid.as_raw_nonzero())?;
                }
                f.write_str("; end them by hand, or set `kill_doubtful_orphans`")
            }
            Self::Unkillable(pid) => write!(
                f,
                "process {} has not exited since it was killed: the kernel holds it, often for a file system \
                 that does not answer",
                pid.as_raw_nonzero()
            ),
            Self::NoWatchdog(error) => write!(
                f,
                "the watchdog did not start, so Codex would outlive a program that is killed: {error}"
            ),
            #[cfg(target_os = "linux")]
            Self::NoDescriptors => f.write_str(
                "processes of a turn may be left: the program has too many open files to find them",
            ),
            Self::NoThread(error) => write!(
                f,
                "a thread did not start, so an ended watchdog stays a zombie: {error}"
            ),
        }
    }
}
