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
//! The standard input of a child ends with the program as well. A child that exits by that needs longer than the
//! shell, which stops it within a few milliseconds; what a faster one leaves behind is not found.
//!
//! Without a shell, or after the shell was killed, processes run without a watchdog.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::{handle::ProcessHandle, warnings};

const SCRIPT: &str = include_str!("watchdog.sh");

/// A watchdog. Its shell starts before the first process to watch.
#[derive(Debug, Default)]
pub(super) struct Watchdog(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The running shell. `None` before the first process, and when the last attempt to start one failed.
    shell: Option<Child>,
    /// The processes to watch, as `PID:START`.
    watched: BTreeSet<String>,
}

/// Has the watchdog watch a process until it is dropped.
#[derive(Debug)]
pub(super) struct WatchGuard {
    watchdog: Arc<Watchdog>,
    entry: String,
}

// === impl Watchdog ===

impl Watchdog {
    /// Makes sure that a shell runs. Blocks while one starts.
    ///
    /// It is called before a child starts, so that there is no pause between its start and its watch.
    pub(super) fn prepare(&self) {
        let mut state = self.lock();
        if !state.is_running() {
            state.replace();
        }
    }

    /// Starts to watch a child of this process that is not reaped.
    pub(super) fn watch(self: Arc<Self>, process: &ProcessHandle) -> WatchGuard {
        let start = process.start.map(|start| start.to_string());
        let pid = process.pid.as_raw_nonzero();
        let entry = format!("{pid}:{}", start.unwrap_or_default());
        {
            let mut state = self.lock();
            state.watched.insert(entry.clone());
            state.send('+', &entry);
        }
        WatchGuard {
            watchdog: self,
            entry,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watchdog {
    /// Ends the shell: nothing is watched any more, since each guard holds the watchdog.
    fn drop(&mut self) {
        let state = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(mut shell) = state.shell.take() else {
            return;
        };
        shell.stdin = None;
        // On a thread of its own: the last clone of a service may be dropped on an executor.
        let thread = thread::Builder::new().name("codex-watchdog".to_owned());
        if let Err(error) = thread.spawn(move || shell.wait()) {
            warnings::watchdog_not_reaped(&error);
        }
    }
}

// === impl State ===

impl State {
    /// Sends a line to the shell. If the shell does not take it, another one takes over all that is watched.
    fn send(&mut self, sign: char, entry: &str) {
        let is_running = self.is_running();
        let mut running = self.shell.as_mut().filter(|_| is_running);
        let sent = running.as_mut().map(|shell| write(shell, sign, entry));
        if matches!(sent, Some(Ok(()))) {
            return;
        }
        if self.watched.is_empty() {
            self.kill();
        } else {
            self.replace();
        }
    }

    fn is_running(&mut self) -> bool {
        let exit = self.shell.as_mut().map(Child::try_wait);
        matches!(exit, Some(Ok(None)))
    }

    /// Replaces the shell by one that watches all that is to be watched.
    fn replace(&mut self) {
        // It missed a line, so it could kill a process that has the id of one that has exited.
        self.kill();
        if let Err(error) = self.start() {
            warnings::watchdog_not_started(&error);
        }
    }

    fn start(&mut self) -> io::Result<()> {
        let shell = self.shell.insert(start_shell()?);
        let mut watched = self.watched.iter();
        let written = watched.try_for_each(|entry| write(shell, '+', entry));
        if written.is_err() {
            self.kill();
        }
        written
    }

    /// Kills the shell. It is dead before its pipe is closed, which it would take for the death of the program.
    fn kill(&mut self) {
        // Its id may belong to another process if something else in this program has reaped it.
        let is_running = self.is_running();
        if let Some(mut shell) = self.shell.take().filter(|_| is_running) {
            let _ = shell.kill();
            let _ = shell.wait();
        }
    }
}

/// Starts a shell in its own process group, which a Ctrl-C does not reach, in a directory that is never
/// unmounted, without environment and without output.
///
/// The script is passed in the environment, which keeps the command line readable in a list of processes.
fn start_shell() -> io::Result<Child> {
    let shell = Command::new("/bin/sh")
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
    let pipe = shell.stdin.as_ref();
    let non_blocking = pipe.map(|pipe| rustix::io::ioctl_fionbio(pipe, true));
    non_blocking.transpose()?;
    Ok(shell)
}

/// Writes a line, which a pipe takes as a whole or not at all.
fn write(shell: &mut Child, sign: char, entry: &str) -> io::Result<()> {
    match &mut shell.stdin {
        Some(pipe) => pipe.write_all(format!("{sign} {entry}\n").as_bytes()),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

// === impl WatchGuard ===

impl Drop for WatchGuard {
    fn drop(&mut self) {
        let mut state = self.watchdog.lock();
        state.watched.remove(&self.entry);
        state.send('-', &self.entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_that_watches_nothing_exits_without_waiting_for_the_program() {
        // It prints each command.
        let mut shell = Command::new("/bin/sh")
            .args(["-xc", SCRIPT, "codex-watchdog"])
            .arg(std::process::id().to_string())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        for sign in ['+', '-'] {
            write(&mut shell, sign, "4194305:1").unwrap();
        }
        let commands = shell.wait_with_output().unwrap().stderr;
        let commands = String::from_utf8_lossy(&commands);
        assert!(commands.contains("running="), "{commands}");
        assert!(!commands.contains("is_exiting"), "{commands}");
    }
}
