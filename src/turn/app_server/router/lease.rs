use std::sync::Arc;

use tokio::time::Instant;

use super::Router;
use crate::turn::app_server::{thread_locks::ThreadGuard, turns::ActiveTurn};

/// The use of a server by a turn.
pub(in crate::turn::app_server) struct Lease {
    pub(super) router: Arc<Router>,
    pub(super) _active: Arc<ActiveTurn>,
}

/// What a turn leaves behind that was dropped: it is let go when the server has ended the turn.
pub(in crate::turn::app_server) struct Release {
    /// One that is too far away for the clock is `None`.
    pub(super) deadline: Option<Instant>,
    pub(super) _lock: ThreadGuard,
    pub(super) _lease: Lease,
}

// === impl Lease ===

impl Lease {
    pub(in crate::turn::app_server) fn router(&self) -> &Arc<Router> {
        &self.router
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.router.lock();
        state.turns -= 1;
        state.idle_since = Some(Instant::now());
        drop(state);
        self.router.changed.notify_one();
    }
}

// === impl Release ===

impl Release {
    pub(in crate::turn::app_server) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}
