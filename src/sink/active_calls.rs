use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use opentelemetry::SpanId;

#[cfg(all(feature = "tracing", any(feature = "otlp", feature = "retry")))]
use super::watch::Watch;
use super::{ActiveCall, Sink, watchers::Watchers};
use crate::{
    event::Event,
    timeline::{columns, padded},
};

/// How many calls are tracked unless the program says otherwise.
const DEFAULT_LIMIT: usize = 1024;

/// A sink that knows which calls are active now: what the process waits for.
///
/// [`snapshot`](Self::snapshot) lists them, for a health page; `Display` prints them as a table, for a signal handler or
/// a console; [`warn_after`](Self::warn_after) warns of those that take long. Clones share the same calls. Use it beside
/// other sinks in a [`FanOut`](crate::FanOut), or alone.
///
/// A turn shows the thread and the turn that Codex has told, and the [`Phase`](crate::Phase) that it is in. A tool that
/// Codex runs within it is an active call of its own, of the same trace. No attribute and no content is shown.
///
/// A call is active from its start event to its end. It is tracked unless as many as the limit are: then it is
/// [counted](Self::untracked), and a warning is logged for the first. The view keeps neither a call that has ended nor
/// another sink alive. It takes a lock for each event, and allocates only when more calls are active than ever before.
///
/// ```
/// use codex_telemetry::{ActiveCalls, Call, Operation, TimingLayer};
/// use tower::{Layer, Service, service_fn};
///
/// let active = ActiveCalls::new();
/// let mut service = TimingLayer::new(active.clone()).layer(service_fn(|_: Call<()>| {
///     std::future::pending::<Result<(), ()>>()
/// }));
/// let request = Call::new(Operation::Custom("tickets.buy"), ()).with_name("nightly");
/// let response = service.call(request);
///
/// let [call] = &active.snapshot()[..] else { panic!("one call is active") };
/// assert_eq!(call.operation.as_str(), "tickets.buy");
/// assert_eq!(call.name.as_deref(), Some("nightly"));
/// println!("{active}");
///
/// drop(response);
/// assert_eq!(active.to_string(), "no active calls\n");
/// ```
///
/// # A health page
///
/// With the feature `json`, the list is a body as it is:
#[cfg_attr(feature = "json", doc = "```")]
#[cfg_attr(not(feature = "json"), doc = "```ignore")]
/// use axum::{Json, Router, routing::get};
/// use codex_telemetry::ActiveCalls;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let active = ActiveCalls::new();
/// let calls = active.clone();
/// let app: Router = Router::new().route("/active", get(async move || Json(calls.snapshot())));
/// # use tower::ServiceExt;
/// # let request = axum::extract::Request::get("/active").body(axum::body::Body::empty()).unwrap();
/// # let body = app.oneshot(request).await.unwrap().into_body();
/// # assert_eq!(axum::body::to_bytes(body, 9).await.unwrap(), "[]");
/// # }
/// ```
///
/// # A signal
///
/// `kill -USR1` asks the process what it waits for. The table is printed by a task, since a handler that interrupts a
/// thread could not take the lock.
///
/// ```
/// use codex_telemetry::ActiveCalls;
/// use tokio::signal::unix::{SignalKind, signal};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// # let (printed, mut was_printed) = tokio::sync::mpsc::channel(1);
/// let active = ActiveCalls::new();
/// let mut asked = signal(SignalKind::user_defined1())?;
/// let calls = active.clone();
/// tokio::spawn(async move {
///     while asked.recv().await.is_some() {
///         eprint!("{calls}");
/// #       printed.send(()).await.unwrap();
///     }
/// });
/// # rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR1)?;
/// # was_printed.recv().await.unwrap();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ActiveCalls(Arc<Shared>);

struct Shared {
    limit: usize,
    untracked: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) calls: HashMap<SpanId, Tracked>,
    /// How many calls have been tracked.
    pub(super) count: u64,
    pub(super) watchers: Watchers,
}

/// A call that is tracked.
pub(super) struct Tracked {
    /// Its start. Once the call has ended, nothing of the sinks is left in it.
    pub(super) event: Event,
    /// The calls before it.
    number: u64,
    #[cfg(all(feature = "tracing", any(feature = "otlp", feature = "retry")))]
    pub(super) watch: Watch,
}

// === impl ActiveCalls ===

impl ActiveCalls {
    /// Returns a view that tracks up to 1024 calls at once.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }

    /// Returns a view that tracks up to `limit` calls at once. Each takes less than 150 bytes beside its record.
    ///
    /// ```
    /// use codex_telemetry::{ActiveCalls, Call, Operation, TimingLayer};
    /// use tower::{Layer, Service, service_fn};
    ///
    /// let active = ActiveCalls::with_limit(1);
    /// let layer = TimingLayer::new(active.clone());
    /// let mut service = layer.layer(service_fn(|_: Call<()>| std::future::pending::<Result<(), ()>>()));
    /// let mut call = || service.call(Call::new(Operation::Custom("sync"), ()));
    /// let (first, second) = (call(), call());
    /// assert_eq!((active.snapshot().len(), active.untracked()), (1, 1));
    ///
    /// // A call that has begun untracked remains so; the next one has a place again.
    /// drop((first, second));
    /// let third = call();
    /// assert_eq!((active.snapshot().len(), active.untracked()), (1, 1));
    /// # drop(third);
    /// ```
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self(Arc::new(Shared {
            limit,
            untracked: AtomicU64::new(0),
            state: Mutex::default(),
        }))
    }

    /// Returns the calls that are active now and tracked, the oldest first.
    ///
    /// Each is as it is known while the list is made: one that ends meanwhile may be in it.
    #[must_use]
    pub fn snapshot(&self) -> Vec<ActiveCall> {
        let state = self.lock();
        let events = state.calls.values();
        let mut events: Vec<_> = events.map(|it| (it.number, it.event.clone())).collect();
        drop(state);
        // The last first: so the age of a call, which is read later, is not less than that of a child of it.
        events.sort_unstable_by_key(|(number, _)| Reverse(*number));
        let calls = events.iter().filter_map(|(_, event)| ActiveCall::of(event));
        let mut calls: Vec<_> = calls.collect();
        calls.reverse();
        // Some began before they were known. The sort is stable: of the same age, the first is the first that was known.
        calls.sort_by_key(|call| Reverse(call.age));
        calls
    }

    /// Returns the number of calls that were not tracked, since as many as the limit were active when they began.
    #[must_use]
    pub fn untracked(&self) -> u64 {
        self.0.untracked.load(Relaxed)
    }

    fn began(&self, event: Event) {
        // An event that was kept may be emitted again.
        if !event.is_open() {
            return;
        }
        let mut state = self.lock();
        let is_full = state.calls.len() >= self.0.limit;
        let number = state.count;
        match state.calls.entry(event.span_id()) {
            // Both of two sinks of a fan-out may be this one.
            Entry::Occupied(_) => {}
            Entry::Vacant(_) if is_full => {
                drop(state);
                self.not_tracked();
            }
            Entry::Vacant(entry) => {
                entry.insert(Tracked {
                    event,
                    number,
                    #[cfg(all(feature = "tracing", any(feature = "otlp", feature = "retry")))]
                    watch: Watch::default(),
                });
                state.count += 1;
                let watchers = state.watchers.take();
                drop(state);
                watchers.wake();
            }
        }
    }

    #[cold]
    fn not_tracked(&self) {
        if self.0.untracked.fetch_add(1, Relaxed) == 0 {
            #[cfg(feature = "tracing")]
            ::tracing::warn!(
                target: "codex_telemetry",
                "more than {} calls are active, and `ActiveCalls` does not track further ones; this is logged once, \
                 `ActiveCalls::untracked` counts such calls",
                self.0.limit
            );
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No code of a caller runs under the lock, so a panic cannot leave the state half-written.
        let state = self.0.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for ActiveCalls {
    fn emit(&self, event: Event) {
        if event.kind().is_terminal() {
            let ended = self.lock().calls.remove(&event.span_id());
            // Not under the lock: this may be the last that has its record.
            drop(ended);
        } else {
            self.began(event);
        }
    }
}

impl Default for ActiveCalls {
    fn default() -> Self {
        Self::new()
    }
}

/// A table with a line for each call. The format may change.
impl fmt::Display for ActiveCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.snapshot();
        match calls.len() {
            0 => writeln!(f, "no active calls")?,
            1 => writeln!(f, "1 active call")?,
            count => writeln!(f, "{count} active calls, the oldest first")?,
        }
        let rows: Vec<_> = calls.iter().map(ActiveCall::columns).collect();
        let width = |column: usize| {
            let widths = rows.iter().map(|row| columns(&row[column]));
            // A single long name does not move the columns of all.
            widths.max().unwrap_or_default().min(40)
        };
        let widths = [0, 1, 2].map(width);
        for [age, label, phase, ids] in &rows {
            let [of_age, of_label, of_phase] = widths;
            let label = padded(label, of_label);
            writeln!(f, "  {age:>of_age$}  {label}  {phase:of_phase$}  {ids}")?;
        }
        match self.untracked() {
            0 => Ok(()),
            count => writeln!(
                f,
                "calls that were not tracked, since {} were active: {count}",
                self.0.limit
            ),
        }
    }
}

impl fmt::Debug for ActiveCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActiveCalls")
            .field("tracked", &self.lock().calls.len())
            .field("limit", &self.0.limit)
            .field("untracked", &self.untracked())
            .finish()
    }
}
