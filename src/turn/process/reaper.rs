//! Blocking work after a process was killed, on a thread of its own.
//!
//! It is not a task, since the runtime may be shutting down. It is not done in place, since the kernel may
//! take long, and a destructor should not.

use std::{
    io,
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

/// How long to wait for a killed process. It exits within milliseconds, unless it is stuck in the kernel.
const REAP_TIMEOUT: Duration = Duration::from_secs(10);

/// Does `work` on a new thread. If the system has no thread left, `work` is dropped.
pub(in crate::turn) fn start(work: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().name("codex-reaper".to_owned());
    let _ = thread.spawn(work);
}

/// Polls `try_wait` until the killed process has exited.
pub(in crate::turn) fn reap(mut try_wait: impl FnMut() -> io::Result<Option<ExitStatus>>) {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    while let Ok(None) = try_wait() {
        if started.elapsed() > REAP_TIMEOUT {
            return;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
