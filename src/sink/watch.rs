use std::{convert::Infallible, future::poll_fn, task::Poll, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

use super::{ActiveCall, ActiveCalls, active_calls::Tracked};
use crate::event::{Event, Phase, millis};

/// Longer than any process runs, and short enough to be added to any time.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// What those who watch for old calls know of a call.
#[derive(Default)]
pub(super) struct Watch {
    /// When the call began, by the clock of the timers. A clock of the program's own tests may differ from it.
    began: Option<Instant>,
    /// The largest threshold after which it was warned of.
    warned: Option<Duration>,
}

/// What is due.
struct Due {
    events: Vec<Event>,
    /// When the next call is due, of those that have begun.
    next: Option<Instant>,
    /// How many calls have begun.
    count: u64,
}

// === impl ActiveCalls ===

impl ActiveCalls {
    /// Warns through `tracing` of each call that is active for longer than `threshold`, once.
    ///
    /// The warning has the target `codex_telemetry`. Its fields are the operation, the name and what identifies the call,
    /// as they are known then, its age, and the phase of a turn, which says what it waits for. A tool and the turn that
    /// waits for it are two calls with the same trace id, and each is warned of. To have another threshold for some calls,
    /// pass those alone to a view of their own: a closure is a sink.
    ///
    /// The future never ends; dropping it stops the warnings. It sleeps until the next call is due, and if no calls are
    /// made, until one begins: short calls do not wake it each. A call that its service learns of late may be warned of
    /// late by as much. Calls beyond the limit are not warned of.
    ///
    /// Available with the feature `tracing` and each feature that depends on tokio: `otlp`, `retry`, and the services,
    /// which imply `retry`.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with time enabled.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. Another future goes on where this one was dropped: of those with the same threshold, on this view or
    /// a clone of it, only one warns of a call.
    ///
    /// # Examples
    ///
    /// ```
    /// use codex_telemetry::{ActiveCalls, Call, Operation, TimingLayer};
    /// use std::{fs::File, sync::Mutex, time::Duration};
    /// use tower::{Layer, Service, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// # tokio::time::pause();
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("program.log");
    /// # tracing_subscriber::fmt().with_writer(Mutex::new(File::create(&path)?)).init();
    /// let active = ActiveCalls::new();
    /// let warnings = tokio::spawn(active.warn_after(Duration::from_secs(60)));
    /// # let (clock, manual) = codex_telemetry::Clock::manual(std::time::UNIX_EPOCH);
    /// # let timing = TimingLayer::with_clock(active.clone(), clock);
    /// let mut service = timing.layer(service_fn(|_: Call<()>| std::future::pending::<Result<(), ()>>()));
    /// let call = service.call(Call::new(Operation::Custom("tickets.buy"), ()));
    /// # tokio::task::yield_now().await;
    /// # manual.advance(Duration::from_secs(61));
    /// // … a minute later:
    /// # tokio::time::sleep(Duration::from_secs(61)).await;
    /// let log = std::fs::read_to_string(&path)?;
    /// assert!(log.contains("tickets.buy"), "{log}");
    /// # drop(call);
    /// warnings.abort();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "the future has to be spawned or polled"]
    pub fn warn_after(
        &self,
        threshold: Duration,
    ) -> impl Future<Output = Infallible> + Send + use<> {
        let calls = self.clone();
        let threshold = threshold.min(FOREVER);
        async move {
            let mut count = 0;
            loop {
                let due = calls.take_due(threshold);
                for event in due.events {
                    if let Some(call) = ActiveCall::of(&event) {
                        warn(&call, threshold);
                    }
                }
                let has_begun = std::mem::replace(&mut count, due.count) != due.count;
                match due.next {
                    Some(next) => sleep_until(next).await,
                    // A call that begins from now on is not due before.
                    None if has_begun => sleep(threshold).await,
                    None => calls.begin_after(count).await,
                }
            }
        }
    }

    /// Returns the calls to warn of now. They count as warned of.
    fn take_due(&self, threshold: Duration) -> Due {
        let now = Instant::now();
        let mut state = self.lock();
        let mut due = Due {
            events: Vec::new(),
            next: None,
            count: state.count,
        };
        for call in state.calls.values_mut() {
            let Some(at) = call.due(threshold, now) else {
                continue;
            };
            if at <= now {
                call.watch.warned = Some(threshold);
                due.events.push(call.event.clone());
            } else {
                due.next = Some(due.next.map_or(at, |next| next.min(at)));
            }
        }
        due
    }

    /// Waits until more than `count` calls have begun.
    async fn begin_after(&self, count: u64) {
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.count > count {
                return Poll::Ready(());
            }
            state.watchers.register(cx.waker());
            Poll::Pending
        })
        .await;
    }
}

// === impl Tracked ===

impl Tracked {
    /// Returns when to warn of the call; `None` if that was done, or the call has ended.
    fn due(&mut self, threshold: Duration, now: Instant) -> Option<Instant> {
        let is_warned_of = self.watch.warned.is_some_and(|it| it >= threshold);
        if is_warned_of || !self.event.is_open() {
            return None;
        }
        let began = match self.watch.began {
            Some(began) => began,
            None => {
                let age = self.event.age()?;
                *self.watch.began.insert(now.checked_sub(age).unwrap_or(now))
            }
        };
        Some(began + threshold)
    }
}

fn warn(call: &ActiveCall, threshold: Duration) {
    ::tracing::warn!(
        target: "codex_telemetry",
        operation = call.operation.as_str(),
        name = call.name.as_deref(),
        phase = call.phase.map(Phase::as_str),
        age_ms = millis(call.age),
        originator = call.originator.as_ref().map(|it| it.as_str()),
        thread_id = call.thread_id.as_deref(),
        turn_id = call.turn_id.as_deref(),
        call_id = call.call_id.as_deref(),
        attempt = call.attempt,
        trace_id = %call.trace_id,
        span_id = %call.span_id,
        "a call is active for longer than {threshold:?}; its phase, or the calls of its trace that are active as well, \
         say what it waits for"
    );
}
