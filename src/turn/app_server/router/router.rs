use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::{Notify, Semaphore, mpsc, watch},
    time::Instant,
};

use super::{
    Over,
    outgoing::{Backlog, OutgoingLine},
    requests::Pending,
};
use crate::turn::app_server::threads::Threads;

/// The most requests that wait for an answer. The server answers 64 at once; of many more it loses some.
pub(super) const MAX_PENDING: usize = 64;

/// The most lines that wait to be written. Only a server that does not read has so many.
const MAX_OUTGOING: usize = 1024;

/// What this program knows of a server: the requests that wait, the threads that are loaded, and the turns.
pub(in crate::turn::app_server) struct Router {
    pub(super) state: Mutex<State>,
    /// Held while requests that have waited are taken out and sent. Otherwise a later request about the same thread
    /// could be sent between. Taken before the state.
    order: Mutex<()>,
    pub(super) outgoing: mpsc::Sender<OutgoingLine>,
    pub(super) backlog: Arc<Backlog>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) next_id: AtomicU64,
    /// Tells the connection that a deadline or the number of turns may have changed.
    pub(super) changed: Notify,
    /// Tells that the server has unloaded a thread.
    pub(super) closed: Notify,
    pub(super) over: watch::Sender<Option<Arc<Over>>>,
    pub(super) limits: Limits,
}

/// The limits of a connection.
#[derive(Clone, Debug)]
pub(in crate::turn::app_server) struct Limits {
    pub(in crate::turn::app_server) request_timeout: Duration,
    pub(in crate::turn::app_server) interrupt_timeout: Duration,
    pub(in crate::turn::app_server) idle_timeout: Option<Duration>,
    pub(in crate::turn::app_server) max_threads: usize,
}

pub(super) struct State {
    pub(in crate::turn::app_server) pending: BTreeMap<u64, Pending>,
    /// How many of them are of this program alone, and not of a turn.
    pub(in crate::turn::app_server) control: usize,
    /// Those that wait to be sent.
    pub(in crate::turn::app_server) waiting: VecDeque<(&'static str, Value)>,
    pub(in crate::turn::app_server) threads: Threads,
    /// How many turns use the server, with those that are being interrupted.
    pub(in crate::turn::app_server) turns: usize,
    /// How many turns the server has completed.
    pub(in crate::turn::app_server) completed: u64,
    /// `None` before its first turn, unless it was started ahead.
    pub(in crate::turn::app_server) idle_since: Option<Instant>,
    /// Whether the server gets no new turns.
    pub(in crate::turn::app_server) is_retiring: bool,
    /// Whether the server does not do what it is told.
    pub(in crate::turn::app_server) is_broken: bool,
    /// Whether the server is being ended.
    pub(in crate::turn::app_server) is_closing: bool,
    /// Whether the service stops.
    pub(in crate::turn::app_server) is_stopping: bool,
}

// === impl Router ===

impl Router {
    /// Returns a router, and what it has to write.
    pub(in crate::turn::app_server) fn new(
        limits: Limits,
    ) -> (Arc<Self>, mpsc::Receiver<OutgoingLine>) {
        let (outgoing, lines) = mpsc::channel(MAX_OUTGOING);
        let router = Self {
            order: Mutex::default(),
            state: Mutex::new(State {
                pending: BTreeMap::new(),
                control: 0,
                waiting: VecDeque::new(),
                threads: Threads::default(),
                turns: 0,
                completed: 0,
                idle_since: None,
                is_retiring: false,
                is_broken: false,
                is_closing: false,
                is_stopping: false,
            }),
            outgoing,
            backlog: Arc::default(),
            permits: Arc::new(Semaphore::new(MAX_PENDING)),
            next_id: AtomicU64::new(1),
            changed: Notify::new(),
            closed: Notify::new(),
            over: watch::Sender::new(None),
            limits,
        };
        (Arc::new(router), lines)
    }

    pub(super) fn order(&self) -> MutexGuard<'_, ()> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
