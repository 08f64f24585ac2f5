//! One signal's way out: what waits for it, and the task that exports it batch by batch.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{books::Account, delivery::Delivery};
use crate::event::Event;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A receiver may ask for a longer pause than ours, but not for one that outlasts the program.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// What waits for a lane, and how far it is. Only the export thread touches it.
#[derive(Debug)]
pub(super) struct Backlog {
    waiting: RefCell<VecDeque<Event>>,
    capacity: usize,
    /// Records that the lane took in, and those of them that are exported or failed by now. They are
    /// settled in the order in which they came.
    received: Cell<u64>,
    settled: Cell<u64>,
    /// Those of the settled that failed.
    lost: Cell<u64>,
    /// Records that found no room.
    overflown: Cell<u64>,
    /// Failures of which a flush has told.
    told: Cell<u64>,
    arrived: Notify,
    moved: Notify,
    /// Somebody waits for the lane: it pauses no longer than the receiver asked it to.
    urged: Notify,
}

impl Backlog {
    pub(super) fn new(capacity: usize) -> Rc<Self> {
        Rc::new(Self {
            waiting: RefCell::default(),
            capacity,
            received: Cell::new(0),
            settled: Cell::new(0),
            lost: Cell::new(0),
            overflown: Cell::new(0),
            told: Cell::new(0),
            arrived: Notify::new(),
            moved: Notify::new(),
            urged: Notify::new(),
        })
    }

    /// Takes an event in; when there is no room for it, it has failed.
    pub(super) fn push(&self, event: Event, account: &Account) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() < self.capacity {
            waiting.push_back(event);
            self.count();
        } else {
            self.overflown.set(self.overflown.get() + 1);
            // Not settled, since it was not taken in: it would settle before those that are older.
            account.failed(
                1,
                "the receiver has been slower than the calls for too long",
            );
        }
    }

    /// Counts a record that waits elsewhere: metrics wait in their instruments.
    pub(super) fn count(&self) {
        self.received.set(self.received.get() + 1);
    }

    pub(super) fn arrived(&self) {
        self.arrived.notify_one();
    }

    /// Tells the lane that somebody waits for it, if there is something to wait for.
    pub(super) fn urge(&self) {
        if self.unsettled(self.received.get()) > 0 {
            self.urged.notify_one();
        }
    }

    pub(super) fn received(&self) -> u64 {
        self.received.get()
    }

    /// How many of the first `target` records are still under way.
    pub(super) fn unsettled(&self, target: u64) -> u64 {
        target.saturating_sub(self.settled.get())
    }

    /// How many records failed of which no flush has told.
    pub(super) fn untold(&self) -> u64 {
        (self.lost.get() + self.overflown.get()).saturating_sub(self.told.get())
    }

    pub(super) fn tell(&self, failed: u64) {
        self.told.set(self.told.get() + failed);
    }

    /// How many of the settled records failed.
    pub(super) fn lost(&self) -> u64 {
        self.lost.get()
    }

    pub(super) fn overflown(&self) -> u64 {
        self.overflown.get()
    }

    fn settle(&self, count: u64, lost: u64) {
        self.settled.set(self.settled.get() + count);
        self.lost.set(self.lost.get() + lost);
        self.moved.notify_waiters();
    }

    /// Waits until the first `target` records are exported or failed.
    pub(super) async fn settled(&self, target: u64) {
        loop {
            let moved = self.moved.notified();
            if self.unsettled(target) == 0 {
                return;
            }
            moved.await;
        }
    }

    async fn batch(&self, size: usize) -> Vec<Event> {
        loop {
            {
                let mut waiting = self.waiting.borrow_mut();
                let count = waiting.len().min(size);
                if count > 0 {
                    return waiting.drain(..count).collect();
                }
            }
            self.arrived.notified().await;
        }
    }
}

/// Exports a lane's events for ever, batch by batch, each until it is taken or refused.
pub(super) async fn export_events(
    backlog: &Backlog,
    account: &Account,
    batch_size: usize,
    export: impl AsyncFn(&[Event]) -> Delivery,
) {
    loop {
        let batch = backlog.batch(batch_size).await;
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let mut pause = FIRST_PAUSE;
        let delivery = loop {
            match caught(export(&batch)).await {
                Delivery::TryAgain { problem, after } => {
                    account.problem(&problem);
                    pause = wait(backlog, pause, after).await;
                }
                settled => break settled,
            }
        };
        let lost = match delivery {
            Delivery::Taken { rejected, problem } => {
                let rejected = rejected.min(count);
                account.exported(count - rejected);
                match problem {
                    None => account.well(),
                    Some(problem) if rejected > 0 => account.failed(rejected, &problem),
                    Some(problem) => account.problem(&problem),
                }
                rejected
            }
            Delivery::Refused { problem } | Delivery::TryAgain { problem, .. } => {
                account.failed(count, &problem);
                count
            }
        };
        backlog.settle(count, lost);
    }
}

/// Exports running totals for ever: at every interval, when somebody waits for it, and again soon after
/// an export that did not get through. The totals say what those before them could not, so a record has
/// failed only when its export is refused for good.
pub(super) async fn export_totals(
    backlog: &Backlog,
    account: &Account,
    interval: Duration,
    export: impl AsyncFn() -> Delivery,
) {
    let mut pause = FIRST_PAUSE;
    let mut again: Option<Option<Duration>> = None;
    loop {
        match again {
            Some(after) => pause = wait(backlog, pause, after).await,
            None => {
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = backlog.urged.notified() => {}
                }
            }
        }
        if backlog.received() == 0 {
            continue;
        }
        let (total, before) = (backlog.received(), backlog.settled.get());
        let count = total - before;
        again = None;
        let lost = match caught(export()).await {
            Delivery::TryAgain { problem, after } => {
                account.problem(&problem);
                again = Some(after);
                continue;
            }
            Delivery::Taken { rejected, problem } => {
                // The receiver counts data points and we count records: what it refused can only be
                // told, not booked.
                account.exported(count);
                match problem {
                    None => account.well(),
                    Some(problem) => {
                        account.problem(&format!("{problem} ({rejected} data points)"));
                    }
                }
                0
            }
            Delivery::Refused { problem } => {
                account.failed(count, &problem);
                count
            }
        };
        pause = FIRST_PAUSE;
        backlog.settle(count, lost);
    }
}

/// Waits before the next try, and returns the pause after it: as long as the receiver asked for, or else
/// for `pause`, give or take a fifth so that a fleet does not come back all at once, and less when
/// somebody waits for it.
async fn wait(backlog: &Backlog, pause: Duration, after: Option<Duration>) -> Duration {
    let longer = (pause * 2).min(LONGEST_PAUSE);
    // To be asked for no pause at all is no reason to hammer at the receiver.
    if let Some(asked) = after.filter(|asked| !asked.is_zero()) {
        tokio::time::sleep(asked.min(LONGEST_ASKED)).await;
        return longer;
    }
    let until = Instant::now() + pause.mul_f64(0.8 + 0.4 * fastrand::f64());
    tokio::select! {
        () = tokio::time::sleep_until(until) => longer,
        () = backlog.urged.notified() => {
            // Even then not at once: a receiver that is not there would be asked without a pause.
            let soon = Instant::now() + FIRST_PAUSE;
            tokio::time::sleep_until(soon.min(until)).await;
            // Whoever waits has less time than the pauses have grown to.
            FIRST_PAUSE
        }
    }
}

/// Runs an export, whose panic is a refusal: an exporter of the application's own may have a bad day, and
/// the lane goes on.
async fn caught(export: impl Future<Output = Delivery>) -> Delivery {
    let mut export = pin!(export);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| export.as_mut().poll(context)));
        polled.unwrap_or_else(|panic| {
            let problem = format!("the exporter panicked: {}", words(&*panic));
            Poll::Ready(Delivery::Refused { problem })
        })
    })
    .await
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref().copied())
        .unwrap_or("it did not say why")
}
