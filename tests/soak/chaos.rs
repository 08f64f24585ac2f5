use std::{
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use fastrand::Rng;

use crate::receiver::{MockResponse, Receiver};

/// A thread that makes a receiver fail, hang and restart at random.
pub(crate) struct Chaos {
    receiver: Arc<Receiver>,
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Chaos {
    pub(crate) fn start(receiver: &Arc<Receiver>, mut rng: Rng) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = {
            let receiver = Arc::clone(receiver);
            thread::spawn(move || {
                // Pauses for a random time; returns whether to stop, and random numbers.
                let mut pause = |max: u64| {
                    let pause = Duration::from_millis(rng.u64(1..max));
                    let stop = stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout);
                    (stop, rng.u8(..9), rng.i64(..100))
                };
                while let (false, kind, count) = pause(100) {
                    receiver.respond_with(match kind {
                        0 => MockResponse::Status(503),
                        1 => MockResponse::StatusWithRetryAfter(429, Duration::from_secs(1)),
                        2 => MockResponse::Status(400),
                        3 => MockResponse::PartialSuccess {
                            rejected: count,
                            message: "some of it".to_owned(),
                        },
                        4 => MockResponse::CloseMidway,
                        5 => MockResponse::Hang,
                        6 => {
                            receiver.stop();
                            pause(200);
                            receiver.restart();
                            MockResponse::Accept
                        }
                        _ => MockResponse::Accept,
                    });
                }
            })
        };
        Self {
            receiver: Arc::clone(receiver),
            stop,
            thread,
        }
    }

    /// Stops the thread and lets the receiver accept everything.
    pub(crate) fn stop(self) {
        drop(self.stop);
        self.thread.join().unwrap();
        self.receiver.respond_with(MockResponse::Accept);
    }
}
