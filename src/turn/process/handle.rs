use rustix::{
    fd::BorrowedFd,
    process::{Pid, Signal, kill_process},
};
#[cfg(target_os = "linux")]
use rustix::{
    fd::{AsFd, OwnedFd},
    io::Errno,
    process::{PidfdFlags, pidfd_open, pidfd_send_signal},
};

#[cfg(target_os = "linux")]
use super::proc_fs;

/// A process, and never a later one with the same id.
///
/// On Linux it holds a pidfd. Where there is none, because the kernel is older than 5.3 or no descriptor is
/// free, it compares the start time before each signal.
#[derive(Debug)]
pub(super) struct ProcessHandle {
    pub(super) pid: Pid,
    /// The start time, in clock ticks since boot; `None` when it is unknown.
    pub(super) start: Option<u64>,
    #[cfg(target_os = "linux")]
    pidfd: Option<OwnedFd>,
}

impl ProcessHandle {
    /// Returns the handle of a child of this process. The child must not be reaped yet: its id is not reused
    /// until then.
    pub(super) fn of_child(pid: Pid) -> Self {
        Self {
            pid,
            start: start_of(pid),
            #[cfg(target_os = "linux")]
            pidfd: pidfd_open(pid, PidfdFlags::empty()).ok(),
        }
    }

    /// Returns the handle of a process that was seen with this start time; `None` when it has exited.
    #[cfg(target_os = "linux")]
    pub(super) fn open(pid: Pid, start: u64) -> Option<Self> {
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return None,
            pidfd => pidfd.ok(),
        };
        let handle = Self {
            pid,
            start: Some(start),
            pidfd,
        };
        // Only now: the id may have been reused before the pidfd was opened.
        handle.is_current().then_some(handle)
    }

    /// Returns the descriptor, which is readable once the process has exited.
    #[cfg(target_os = "linux")]
    pub(super) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Returns nothing: only Linux has pidfds.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Sends a signal. Ignores errors, which mean that the process has exited.
    pub(super) fn signal(&self, signal: Signal) {
        #[cfg(target_os = "linux")]
        if let Some(pidfd) = &self.pidfd {
            let _ = pidfd_send_signal(pidfd, signal);
            return;
        }
        if self.is_current() {
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Returns whether the id still belongs to the process.
    fn is_current(&self) -> bool {
        start_of(self.pid) == self.start
    }
}

#[cfg(target_os = "linux")]
fn start_of(pid: Pid) -> Option<u64> {
    Some(proc_fs::stat(pid)?.start)
}

/// Returns nothing: only Linux has the start time. The callers hold the children of this process alone, whose
/// ids are not reused before they are reaped.
#[cfg(not(target_os = "linux"))]
fn start_of(_: Pid) -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::ExitStatusExt,
        process::{Child, Command},
    };

    use super::*;

    fn sleep() -> (Child, ProcessHandle) {
        let child = Command::new("sleep").arg("300").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        (child, ProcessHandle::of_child(pid))
    }

    #[test]
    fn a_later_process_with_the_same_id_has_no_handle() {
        let (mut child, handle) = sleep();
        let start = handle.start.unwrap();
        assert!(ProcessHandle::open(handle.pid, start).is_some());
        assert!(ProcessHandle::open(handle.pid, start - 1).is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(ProcessHandle::open(handle.pid, start).is_none());
    }

    #[test]
    fn without_a_pidfd_a_later_process_with_the_same_id_gets_no_signal() {
        let (mut child, handle) = sleep();
        let later = ProcessHandle {
            start: handle.start.map(|start| start - 1),
            pidfd: None,
            ..handle
        };
        later.signal(Signal::KILL);
        let same = ProcessHandle {
            start: later.start.map(|start| start + 1),
            ..later
        };
        same.signal(Signal::TERM);
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
    }
}
