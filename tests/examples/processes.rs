use std::{
    fs, thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, test_kill_process};

/// Waits until a process that was killed is gone. Its example has waited for it, but init may need a moment to reap it.
pub(crate) fn assert_gone(process: Pid) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while test_kill_process(process).is_ok() && !is_zombie(process) {
        assert!(Instant::now() < deadline, "{process:?} is still running");
        thread::yield_now();
    }
}

fn is_zombie(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.is_ok_and(|stat| stat.contains(") Z "))
}
