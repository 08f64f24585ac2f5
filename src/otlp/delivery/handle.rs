use std::{
    convert::Infallible,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    request::{Command, Purpose},
    shared::Shared,
    undelivered::Undelivered,
};
use crate::otlp::config::Signal;

/// How long the drop of the last handle waits for pending records.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);
/// How much longer than its deadline a caller waits for the export thread.
const GRACE: Duration = Duration::from_millis(500);
/// Thirty years, for a time that a clock cannot represent.
pub(super) const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The caller's side of the export thread. Dropping it shuts the thread down.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    /// False after a shutdown, or if the thread was not started.
    is_enabled: AtomicBool,
    commands: UnboundedSender<Command>,
    thread: Mutex<Option<ExportThread>>,
    /// What the shutdown returned.
    delivered: Mutex<Option<Result<(), Undelivered>>>,
    is_delivered: Condvar,
}

struct ExportThread {
    handle: JoinHandle<()>,
    /// Disconnected when the thread ends.
    ended: Receiver<Infallible>,
}

// === impl Handle ===

impl Handle {
    /// Starts the export thread, which runs `run`. If it cannot be started, logs a warning and drops all
    /// events.
    pub(crate) fn start(
        shared: Arc<Shared>,
        run: impl FnOnce(Arc<Shared>, UnboundedReceiver<Command>) + Send + 'static,
    ) -> Self {
        let (commands, received) = unbounded_channel();
        let (running, ended) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("codex-telemetry-otlp".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || {
                    run(shared, received);
                    drop(running);
                }
            })
            .inspect_err(|error| {
                tracing::warn!(
                    target: "codex_telemetry",
                    "the OTLP sink is disabled: its thread could not be started: {error}"
                );
                shared.queue.close();
            })
            .ok();
        Self {
            shared,
            is_enabled: AtomicBool::new(thread.is_some()),
            commands,
            // Without a thread there is nothing to shut down.
            delivered: Mutex::new(thread.is_none().then_some(Ok(()))),
            is_delivered: Condvar::new(),
            thread: Mutex::new(thread.map(|handle| ExportThread { handle, ended })),
        }
    }

    #[inline]
    pub(crate) fn is_enabled(&self) -> bool {
        self.is_enabled.load(Relaxed)
    }

    /// Shuts down. If that has begun or has ended, waits for its result.
    pub(crate) fn shutdown(&self, timeout: Duration) -> Result<(), Undelivered> {
        if self.is_enabled.swap(false, Relaxed) {
            self.begin_shutdown(timeout)
        } else {
            self.await_shutdown(timeout)
        }
    }

    /// Call it once.
    fn begin_shutdown(&self, timeout: Duration) -> Result<(), Undelivered> {
        let start = Instant::now();
        // Closed first: the response would not include later events.
        self.shared.queue.close();
        let delivered = self.request(timeout, Purpose::Shutdown);
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && !delivered.as_ref().is_err_and(Undelivered::is_timed_out)
        {
            // It drops the exporters, which may take longer. Then it goes on alone.
            let left = timeout
                .saturating_add(GRACE)
                .saturating_sub(start.elapsed());
            if thread.ended.recv_timeout(left) == Err(RecvTimeoutError::Disconnected) {
                let _ = thread.handle.join();
            }
        }
        *lock(&self.delivered) = Some(delivered.clone());
        self.is_delivered.notify_all();
        delivered
    }

    /// Returns the result of the shutdown that has begun, or has ended.
    fn await_shutdown(&self, timeout: Duration) -> Result<(), Undelivered> {
        let delivered = lock(&self.delivered);
        let timeout = timeout.saturating_add(GRACE);
        let waited = self
            .is_delivered
            .wait_timeout_while(delivered, timeout, |delivered| delivered.is_none());
        let (delivered, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let delivered = delivered.clone();
        delivered.unwrap_or_else(|| self.no_response())
    }

    /// Returns the error of an export thread that did not respond.
    pub(crate) fn no_response(&self) -> Result<(), Undelivered> {
        let mut undelivered = Undelivered::timed_out();
        let stats = self.shared.stats();
        for signal in Signal::ALL {
            undelivered.add(&self.shared, signal, 0, stats.of(signal).pending);
        }
        undelivered.into_result()
    }

    /// Sends a command, and waits for its answer.
    pub(crate) fn request(&self, timeout: Duration, purpose: Purpose) -> Result<(), Undelivered> {
        let before = self.shared.stats();
        let (response, delivered) = mpsc::channel();
        let now = Instant::now();
        let command = Command {
            purpose,
            deadline: now.checked_add(timeout).unwrap_or(now + FOR_EVER),
            response,
        };
        let delivered = match self.commands.send(command) {
            Ok(()) => delivered.recv_timeout(timeout.saturating_add(GRACE)),
            // The thread has ended, or was never started.
            Err(_) => Err(RecvTimeoutError::Disconnected),
        };
        delivered.unwrap_or_else(|error| {
            let mut undelivered = match error {
                RecvTimeoutError::Timeout => Undelivered::timed_out(),
                RecvTimeoutError::Disconnected => {
                    self.shared.fail_pending("the export thread has ended");
                    Undelivered::default()
                }
            };
            // Without a response, the counters show what was not delivered.
            let after = self.shared.stats();
            for signal in Signal::ALL {
                let failed = after.of(signal).failed - before.of(signal).failed;
                undelivered.add(&self.shared, signal, failed, after.of(signal).pending);
            }
            undelivered.into_result()
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // An earlier shutdown has reported its result.
        if self.is_enabled.swap(false, Relaxed)
            && let Err(undelivered) = self.begin_shutdown(DROP_TIMEOUT)
        {
            tracing::warn!(
                target: "codex_telemetry",
                "the OTLP sink was dropped before everything was delivered; call \
                 `OtlpSink::blocking_shutdown` with more time: {undelivered}"
            );
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
