use std::sync::Arc;

use tokio::sync::watch;

/// The number of the active turns of a service.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<watch::Sender<usize>>);

/// A turn that is active. It is until this is dropped.
#[derive(Debug)]
pub(super) struct ActiveTurn(Turns);

impl Turns {
    /// Begins a turn.
    pub(super) fn begin(&self) -> Arc<ActiveTurn> {
        self.0.send_modify(|count| *count += 1);
        Arc::new(ActiveTurn(self.clone()))
    }

    pub(super) fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until no turn is active.
    pub(super) async fn none(&self) {
        // There is no error: the sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Waits until a turn is active.
    pub(super) async fn some(&self) {
        // There is no error: the sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|count| *count > 0).await;
    }
}

impl Drop for ActiveTurn {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}
