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

use tokio::sync::oneshot;

/// How long a process that was ended is waited for: it is gone in milliseconds, unless the kernel itself
/// is stuck on its behalf.
const REAP_WITHIN: Duration = Duration::from_secs(10);

/// Does something on a thread; the receiver tells when it is done, or cannot be.
pub(super) fn start(work: impl FnOnce() + Send + 'static) -> oneshot::Receiver<()> {
    let (done, receiver) = oneshot::channel();
    let thread = thread::Builder::new().name("codex-reaper".to_owned());
    let _ = thread.spawn(move || {
        work();
        // Who waits for it may have gone.
        let _ = done.send(());
    });
    receiver
}

/// Waits for a process that was ended, by what asks for its status.
pub(super) fn reap(mut try_wait: impl FnMut() -> io::Result<Option<ExitStatus>>) {
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
