//! A thread that kills, stops and continues the Codex server of the program at random.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use fastrand::Rng;
use rustix::process::{Pid, Signal, pidfd_send_signal};

use crate::processes;

/// The program whose server is meant. It is not reaped while this is locked, so the id is its own.
pub(crate) type Target = Arc<Mutex<Option<Pid>>>;

pub(crate) struct Chaos {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Counts>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) killed: u64,
    pub(crate) stopped: u64,
}

// === impl Chaos ===

impl Chaos {
    pub(crate) fn start(target: &Target, mut rng: Rng) -> Self {
        let (stop, stopped) = mpsc::channel();
        let target = Arc::clone(target);
        let thread = thread::spawn(move || {
            let mut counts = Counts::default();
            let pause = |milliseconds| {
                let pause = Duration::from_millis(milliseconds);
                stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout)
            };
            while pause(rng.u64(200..2000)) {
                let program = target.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(server) = program.and_then(processes::codex_server) else {
                    continue;
                };
                if rng.u8(..3) == 0 {
                    // An error means that it has exited by itself, as below.
                    counts.killed += u64::from(pidfd_send_signal(&server, Signal::KILL).is_ok());
                    continue;
                }
                counts.stopped += u64::from(pidfd_send_signal(&server, Signal::STOP).is_ok());
                drop(program);
                pause(rng.u64(1..1500));
                let _ = pidfd_send_signal(&server, Signal::CONT);
            }
            counts
        });
        Self { stop, thread }
    }

    /// Stops the thread, which leaves no server stopped.
    pub(crate) fn stop(self) -> Counts {
        drop(self.stop);
        self.thread.join().expect("the thread does not panic")
    }
}
