use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::Notify;

/// How many bytes wait to be written before the tools of the program have to wait. One answer of a tool may have as
/// many, and each turn may add one.
const MAX_WAITING: usize = 16 * 1024 * 1024;

/// How much waits to be written to a server.
#[derive(Default)]
pub(super) struct Backlog {
    bytes: AtomicUsize,
    shrank: Notify,
}

/// A line that waits to be written. It is a part of the backlog until it is dropped.
pub(in crate::turn::app_server) struct OutgoingLine {
    bytes: Vec<u8>,
    backlog: Arc<Backlog>,
}

// === impl Backlog ===

impl Backlog {
    /// Adds a line.
    pub(super) fn add(self: &Arc<Self>, bytes: Vec<u8>) -> OutgoingLine {
        self.bytes.fetch_add(bytes.len(), Relaxed);
        OutgoingLine {
            bytes,
            backlog: Arc::clone(self),
        }
    }

    /// Waits until there is room for a large line. It takes none: a future that nobody polls holds up no other one.
    pub(super) async fn room(&self) {
        loop {
            // Before the look, so that a line that is written meanwhile is noticed.
            let shrank = self.shrank.notified();
            if self.bytes.load(Relaxed) < MAX_WAITING {
                return;
            }
            shrank.await;
        }
    }
}

// === impl OutgoingLine ===

impl OutgoingLine {
    pub(in crate::turn::app_server) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for OutgoingLine {
    fn drop(&mut self) {
        self.backlog.bytes.fetch_sub(self.bytes.len(), Relaxed);
        self.backlog.shrank.notify_waiters();
    }
}
