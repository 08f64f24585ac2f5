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

/// Makes a receiver come and go, and err, until it is told to behave.
pub(crate) struct Storm {
    receiver: Arc<Receiver>,
    end: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Storm {
    pub(crate) fn over(receiver: &Arc<Receiver>, mut rng: Rng) -> Self {
        let (end, ended) = mpsc::channel();
        let thread = {
            let receiver = Arc::clone(receiver);
            thread::spawn(move || {
                let mut calm = |longest: u64| {
                    let pause = Duration::from_millis(rng.u64(1..longest));
                    let calm = ended.recv_timeout(pause) != Err(RecvTimeoutError::Timeout);
                    (calm, rng.u8(..9), rng.i64(..100))
                };
                while let (false, kind, count) = calm(100) {
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
                            calm(200);
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
            end,
            thread,
        }
    }

    pub(crate) fn calm(self) {
        drop(self.end);
        self.thread.join().unwrap();
        self.receiver.respond_with(MockResponse::Accept);
    }
}
