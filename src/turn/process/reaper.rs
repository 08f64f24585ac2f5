//! Work that is left to do when a turn is over, on a thread of its own.
//!
//! Not a task: the runtime may be shutting down. Not where the turn is: the kernel may take its time, and
//! a destructor should not.

use std::{
    io,
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

/// How long a process that was ended is waited for: it is gone in milliseconds, unless the kernel itself
/// is stuck on its behalf.
const REAP_WITHIN: Duration = Duration::from_secs(10);

/// Does something on a thread. When there is none to be had, it is dropped.
pub(in crate::turn) fn start(work: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().name("codex-reaper".to_owned());
    let _ = thread.spawn(work);
}

/// Waits for a process that was ended, by what asks for its status.
pub(in crate::turn) fn reap(mut try_wait: impl FnMut() -> io::Result<Option<ExitStatus>>) {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    while let Ok(None) = try_wait() {
        if started.elapsed() > REAP_WITHIN {
            return;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
