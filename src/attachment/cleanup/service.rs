use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    CleanupError, CleanupReport, CleanupRequest,
    future::ResponseFuture,
    sweep::{Progress, Sweep},
};
use crate::attachment::{AttachmentStore, blocking::Work};

/// Sweeps what has expired out of an [`AttachmentStore`].
///
/// It records on the open call how many files and bytes it removed, how many it kept, and how many it
/// could not remove. Sweeps and stages may run at the same time, in several processes too: a file
/// that two sweeps find is counted by the one that removed it.
///
/// ```
/// use codex_telemetry::attachment::{AttachmentStore, CleanupRequest, CleanupService, Ttl};
/// use std::time::Duration;
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let store = AttachmentStore::open(dir)?;
/// store.stage_bytes("short.txt", "gone soon", Ttl::For(Duration::ZERO)).await?;
/// store.stage_bytes("long.txt", "here to stay", Ttl::default()).await?;
///
/// let report = CleanupService::new(store).oneshot(CleanupRequest::expired()).await?;
/// assert_eq!((report.removed, report.removed_bytes, report.kept), (1, 9, 1));
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// `call` panics outside a tokio runtime.
///
/// # Cancel safety
///
/// A sweep whose future is dropped stops at the next batch, of 256 files at most. What it removed by
/// then is recorded, and the next sweep does the rest.
#[derive(Clone, Debug)]
pub struct CleanupService {
    store: AttachmentStore,
}

// === impl CleanupService ===

impl CleanupService {
    /// Returns the service that sweeps `store`.
    #[must_use]
    pub fn new(store: AttachmentStore) -> Self {
        Self { store }
    }
}

impl Service<CleanupRequest> for CleanupService {
    type Response = CleanupReport;
    type Error = CleanupError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: CleanupRequest) -> Self::Future {
        let store = self.store.inner();
        let progress = Arc::<Progress>::default();
        let told = Arc::clone(&progress);
        let work = Work::spawn(move |abandoned| {
            let sweep = Sweep {
                everything: request.everything,
                now: request.now.unwrap_or_else(|| store.now()),
                store: &store,
                abandoned,
                progress: &told,
            };
            sweep.run()
        });
        ResponseFuture::new(work, progress, request.context)
    }
}
