use std::{
    convert::Infallible,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread::{self, JoinHandle, ThreadId},
    time::{Duration, Instant},
};

use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use super::{
    request::{Command, Purpose, Respond},
    shared::Shared,
    stats::Stats,
    timer::Timer,
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
    thread_id: Option<ThreadId>,
    /// For async callers; `None` if it could not be started.
    timer: OnceLock<Option<Timer>>,
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
            thread_id: thread.as_ref().map(|handle| handle.thread().id()),
            timer: OnceLock::new(),
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
        delivered.unwrap_or_else(|| self.unanswered(self.shared.stats(), true))
    }

    /// Sends a command, and blocks until its answer.
    pub(crate) fn request(&self, timeout: Duration, purpose: Purpose) -> Result<(), Undelivered> {
        let before = self.shared.stats();
        let (response, delivered) = mpsc::channel();
        let respond = move |delivered| response.send(delivered).is_ok();
        self.send(timeout, purpose, Box::new(respond));
        // The export thread cannot wait for itself.
        let limit = if self.thread_id == Some(thread::current().id()) {
            Duration::ZERO
        } else {
            timeout.saturating_add(GRACE)
        };
        let delivered = delivered.recv_timeout(limit);
        delivered.unwrap_or_else(|error| {
            let is_timed_out = error == RecvTimeoutError::Timeout;
            self.unanswered(before, is_timed_out)
        })
    }

    /// Flushes, without blocking the thread.
    pub(crate) async fn flush(&self, timeout: Duration) -> Result<(), Undelivered> {
        let before = self.shared.stats();
        let Some(timer) = self.timer.get_or_init(Timer::start) else {
            return self.unanswered(before, true);
        };
        let (response, delivered) = oneshot::channel();
        let respond = move |delivered| response.send(delivered).is_ok();
        self.send(timeout, Purpose::Flush, Box::new(respond));
        match timer.limit(timeout.saturating_add(GRACE), delivered).await {
            Ok(Ok(delivered)) => delivered,
            Ok(Err(_)) => self.unanswered(before, false),
            Err(_) => self.unanswered(before, true),
        }
    }

    /// Sends a command. If the export thread has ended, drops it.
    fn send(&self, timeout: Duration, purpose: Purpose, respond: Respond) {
        let now = Instant::now();
        let _ = self.commands.send(Command {
            purpose,
            deadline: now.checked_add(timeout).unwrap_or(now + FOR_EVER),
            respond,
        });
    }

    /// Returns the result of a command that was not answered: the counters show what was not delivered. The
    /// export thread was too late, or has ended.
    pub(crate) fn unanswered(&self, before: Stats, is_timed_out: bool) -> Result<(), Undelivered> {
        let mut undelivered = Undelivered::default();
        if is_timed_out {
            undelivered = Undelivered::timed_out();
        } else {
            self.shared.fail_pending("the export thread has ended");
        }
        let after = self.shared.stats();
        for signal in Signal::ALL {
            let failed = after.of(signal).failed - before.of(signal).failed;
            undelivered.add(&self.shared, signal, failed, after.of(signal).pending);
        }
        undelivered.into_result()
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
