//! What ends the turns of a program that dies without ending them: by SIGKILL, by the OOM killer, by
//! `abort`, by `process::exit`.
//!
//! Linux can kill a child when its parent dies, but that is to be set between `fork` and `exec`, which
//! needs `unsafe`; it goes by the thread that started the child, not by its process; and it reaches Codex
//! and none of its commands. So a shell keeps watch. It reads from a pipe whose other end this process
//! alone holds, and is told which process of a turn starts and which is over. However this process ends,
//! the pipe does, and the shell kills what is left with everything below it, as
//! [`tree`](super::tree) would have done.
//!
//! It is a help and never a condition: where there is no shell, or it was killed, turns run unwatched.

use std::{
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::process::Pid;

use super::reaper;

const SCRIPT: &str = include_str!("watchdog.sh");

/// The watchdog of a service, which starts with the first turn.
#[derive(Debug, Default)]
pub(in crate::turn) struct Watchdog {
    shell: Mutex<Option<Arc<WatchdogProcess>>>,
}

/// A running shell. When it is dropped, nothing is left to watch, and it ends.
#[derive(Debug)]
pub(in crate::turn) struct WatchdogProcess {
    /// `None` once it has ended.
    child: Mutex<Option<Child>>,
}

/// A process that is watched until this is dropped.
#[derive(Debug)]
pub(in crate::turn) struct Watched {
    shell: Arc<WatchdogProcess>,
    process: String,
}

// === impl Watchdog ===

impl Watchdog {
    /// The shell, started when there is none or none any more.
    pub(in crate::turn) fn shell(&self) -> Option<Arc<WatchdogProcess>> {
        let mut shell = lock(&self.shell);
        if !shell.as_ref().is_some_and(|shell| shell.lives()) {
            *shell = WatchdogProcess::start().ok().map(Arc::new);
        }
        shell.clone()
    }
}

// === impl WatchdogProcess ===

impl WatchdogProcess {
    /// Starts it where it disturbs nobody: in a group of its own, which a Ctrl-C does not reach, in a
    /// directory that nobody wants to unmount, without environment, and without output.
    ///
    /// The script goes in by the environment, since a command line is there to be read in a list.
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
        // A turn does not wait for a shell that does not read.
        let pipe = child.stdin.as_ref();
        let unblocked = pipe.map(|pipe| rustix::io::ioctl_fionbio(pipe, true));
        let shell = Self {
            child: Mutex::new(Some(child)),
        };
        unblocked.transpose()?;
        Ok(shell)
    }

    /// Has a process watched that is not reaped yet, so that its number is its own.
    pub(in crate::turn) fn watch(self: Arc<Self>, pid: Pid) -> Option<Watched> {
        let start = start_of(pid).map(|start| start.to_string());
        let process = format!("{}:{}", pid.as_raw_nonzero(), start.unwrap_or_default());
        self.say('+', &process).then_some(Watched {
            shell: self,
            process,
        })
    }

    fn lives(&self) -> bool {
        let mut child = lock(&self.child);
        if let Some(Ok(Some(_))) = child.as_mut().map(Child::try_wait) {
            *child = None;
        }
        child.is_some()
    }

    /// Tells it of a process; `false` when it does not listen.
    fn say(&self, sign: char, process: &str) -> bool {
        let mut child = lock(&self.child);
        let Some(child) = &mut *child else {
            return false;
        };
        // One write, so that it goes whole or not at all.
        let line = format!("{sign} {process}\n");
        let said = child
            .stdin
            .as_ref()
            .map(|mut pipe| pipe.write_all(line.as_bytes()));
        let heard = matches!(said, Some(Ok(())));
        if !heard {
            // What misses a word may do harm. The next turn starts another.
            let _ = child.kill();
        }
        heard
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

// === impl Watched ===

impl Drop for Watched {
    fn drop(&mut self) {
        self.shell.say('-', &self.process);
    }
}

#[cfg(target_os = "linux")]
use super::proc_fs::start as start_of;

/// Nothing tells it here, and a number that is given again can be taken for the one before.
#[cfg(not(target_os = "linux"))]
fn start_of(_: Pid) -> Option<u64> {
    None
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
