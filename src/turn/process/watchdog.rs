//! A watchdog, which kills the child processes of a program that dies without dropping them: by SIGKILL, by
//! the OOM killer, by `abort`, by `process::exit`.
//!
//! Linux can kill a child when its parent dies, but the setting must be made between `fork` and `exec`, which
//! needs `unsafe`; it depends on the thread that started the child, not on the process; and it does not reach
//! the processes below the child. So the watchdog is a shell. It reads from a pipe whose other end only this
//! process has, and to which this process writes when a child starts and exits. The pipe closes however
//! this process dies, and the shell then kills the remaining children with everything below them, as
//! [`tree`](super::tree) does.
//!
//! Without a shell, or after the shell was killed, processes run without a watchdog.

use std::{
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::process::Pid;

use super::reaper;

const SCRIPT: &str = include_str!("watchdog.sh");

/// A watchdog, which starts when it is first used.
#[derive(Debug, Default)]
pub(in crate::turn) struct Watchdog {
    process: Mutex<Option<Arc<WatchdogProcess>>>,
}

/// A running watchdog. Dropping it closes its pipe, and it exits.
#[derive(Debug)]
pub(in crate::turn) struct WatchdogProcess {
    /// `None` once it has exited.
    child: Mutex<Option<Child>>,
}

/// Has the watchdog watch a process until it is dropped.
#[derive(Debug)]
pub(in crate::turn) struct WatchGuard {
    watchdog: Arc<WatchdogProcess>,
    /// The process, as `PID:START`.
    entry: String,
}

// === impl Watchdog ===

impl Watchdog {
    /// Returns the running watchdog, and starts one if there is none; `None` if it cannot start.
    pub(in crate::turn) fn process(&self) -> Option<Arc<WatchdogProcess>> {
        let mut process = lock(&self.process);
        if !process.as_ref().is_some_and(|process| process.is_running()) {
            *process = WatchdogProcess::start().ok().map(Arc::new);
        }
        process.clone()
    }
}

// === impl WatchdogProcess ===

impl WatchdogProcess {
    /// Starts a shell in its own process group, which a Ctrl-C does not reach, in a directory that is never
    /// unmounted, without environment and without output.
    ///
    /// The script is passed in the environment, which keeps the command line readable in a list of processes.
    fn start() -> io::Result<Self> {
        let child = Command::new("/bin/sh")
            .args(["-c", "eval \"$WATCHDOG\"", "codex-watchdog"])
            .arg(std::process::id().to_string())
            .env_clear()
            .env("WATCHDOG", SCRIPT)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        // A write must not block when the shell does not read.
        let pipe = child.stdin.as_ref();
        let non_blocking = pipe.map(|pipe| rustix::io::ioctl_fionbio(pipe, true));
        let watchdog = Self {
            child: Mutex::new(Some(child)),
        };
        non_blocking.transpose()?;
        Ok(watchdog)
    }

    /// Starts to watch a process, which must not be reaped yet: its id is not reused until then.
    pub(in crate::turn) fn watch(self: Arc<Self>, pid: Pid) -> Option<WatchGuard> {
        let start = start_of(pid).map(|start| start.to_string());
        let entry = format!("{}:{}", pid.as_raw_nonzero(), start.unwrap_or_default());
        self.send('+', &entry).then_some(WatchGuard {
            watchdog: self,
            entry,
        })
    }

    fn is_running(&self) -> bool {
        let mut child = lock(&self.child);
        if let Some(Ok(Some(_))) = child.as_mut().map(Child::try_wait) {
            *child = None;
        }
        child.is_some()
    }

    /// Sends a line, and returns whether the watchdog will read it.
    fn send(&self, sign: char, entry: &str) -> bool {
        let mut child = lock(&self.child);
        let Some(child) = &mut *child else {
            return false;
        };
        // One write, which a pipe takes as a whole or not at all.
        let line = format!("{sign} {entry}\n");
        let written = child
            .stdin
            .as_ref()
            .map(|mut pipe| pipe.write_all(line.as_bytes()));
        let is_sent = matches!(written, Some(Ok(())));
        if !is_sent {
            // A watchdog that missed a line could kill a process that has the id of one that has exited. The
            // next process starts another watchdog.
            let _ = child.kill();
        }
        is_sent
    }
}

impl Drop for WatchdogProcess {
    fn drop(&mut self) {
        if let Some(mut child) = lock(&self.child).take() {
            child.stdin = None;
            reaper::start(move || reaper::reap(|| child.try_wait()));
        }
    }
}

// === impl WatchGuard ===

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.watchdog.send('-', &self.entry);
    }
}

#[cfg(target_os = "linux")]
use super::proc_fs::start as start_of;

/// Returns nothing: only Linux has the start time. A reused id can be mistaken for the earlier process.
#[cfg(not(target_os = "linux"))]
fn start_of(_: Pid) -> Option<u64> {
    None
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
