use std::{
    io,
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

/// How long a process that was ended is waited for: it is gone in milliseconds, unless the kernel itself
/// is stuck on its behalf.
const REAP_WITHIN: Duration = Duration::from_secs(10);

/// Waits for a process that was ended, by what asks for its status, without waiting here.
///
/// Not a task: the runtime may be shutting down. Not here: the kernel may take its time, and a destructor
/// should not. When no thread can be had, the process is a zombie for as long as this one lives, unless
/// its owner's runtime takes care of it.
pub(super) fn reap(try_wait: impl FnMut() -> io::Result<Option<ExitStatus>> + Send + 'static) {
    let thread = thread::Builder::new().name("codex-reaper".to_owned());
    let _ = thread.spawn(move || wait(try_wait));
}

fn wait(mut try_wait: impl FnMut() -> io::Result<Option<ExitStatus>>) {
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
