//! The service that removes expired attachments from a store.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use tower_service::Service;

use super::{
    AttachmentError, AttachmentStore, CleanupReport,
    blocking::BlockingTask,
    sweep::{Progress, Sweep},
};
use crate::{
    call::{CallContext, CodexRequest},
    event::{Operation, names},
};

/// A service that removes expired attachments from an [`AttachmentStore`].
///
/// It records the numbers of removed, kept, leased and failed files and of removed bytes on the open call.
/// Sweeps and stages can run concurrently, also in several processes. If two sweeps find the same
/// file, only the one that removes it counts it.
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
/// store.stage_bytes("short.txt", "removed", Ttl::For(Duration::ZERO)).await?;
/// store.stage_bytes("long.txt", "kept", Ttl::default()).await?;
///
/// let report = CleanupService::new(store).oneshot(CleanupRequest::expired()).await?;
/// assert_eq!((report.removed, report.removed_bytes, report.kept), (1, 7, 1));
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
/// After the future is dropped, the sweep stops at the next batch of at most 256 files, and waits for no
/// lock any more. The call records what was removed until the drop. The next sweep does the rest.
#[derive(Clone, Debug)]
pub struct CleanupService {
    store: AttachmentStore,
}

/// A request to a [`CleanupService`] to sweep its store.
///
/// ```
/// use codex_telemetry::CallContext;
/// use codex_telemetry::attachment::{AttachmentStore, CleanupRequest, CleanupService, Ttl};
/// use std::time::{Duration, SystemTime};
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let store = AttachmentStore::open(dir)?;
/// store.stage_bytes("today.txt", "for a minute", Ttl::For(Duration::from_secs(60))).await?;
/// store.stage_bytes("later.txt", "until the end", Ttl::Infinite).await?;
/// store.stage_bytes("always.txt", "for good", Ttl::Persistent).await?;
///
/// let tomorrow = SystemTime::now() + Duration::from_secs(24 * 60 * 60);
/// let request = CleanupRequest::expired().at(tomorrow).with_context(CallContext::new());
/// let report = CleanupService::new(store.clone()).oneshot(request).await?;
/// assert_eq!((report.removed, report.kept), (1, 2));
///
/// let report = CleanupService::new(store).oneshot(CleanupRequest::everything()).await?;
/// assert_eq!((report.removed, report.kept), (1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CleanupRequest {
    /// Whether to remove all attachments that are not [persistent](super::Ttl::Persistent), instead of the
    /// expired ones. Leased ones are kept in either case.
    pub everything: bool,
    /// The time that decides which attachments have expired. `None` is the time of the store's clock
    /// when the sweep starts.
    pub now: Option<SystemTime>,
    /// The context.
    pub context: CallContext,
}

/// The response future of [`CleanupService`].
///
/// ```
/// use codex_telemetry::attachment::{
///     AttachmentStore, CleanupRequest, CleanupService, cleanup::ResponseFuture,
/// };
/// use std::time::Duration;
/// use tokio::time::timeout;
/// use tower::Service;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let mut cleanup = CleanupService::new(AttachmentStore::open(dir)?);
/// let sweep: ResponseFuture = cleanup.call(CleanupRequest::expired());
/// // A sweep that takes longer is dropped. The next one does the rest.
/// let report = timeout(Duration::from_secs(60), sweep).await??;
/// assert_eq!(report.to_string(), "removed 0 (0 bytes), kept 0, failed 0");
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropping the future records what was removed so far and stops the sweep at the next batch.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture {
    task: BlockingTask<()>,
    progress: Arc<Progress>,
    /// `None` once the counts are recorded.
    context: Option<CallContext>,
}

// === impl CleanupService ===

impl CleanupService {
    /// Returns a service that sweeps `store`.
    #[must_use]
    pub fn new(store: AttachmentStore) -> Self {
        Self { store }
    }
}

impl Service<CleanupRequest> for CleanupService {
    type Response = CleanupReport;
    type Error = AttachmentError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: CleanupRequest) -> Self::Future {
        let store = Arc::clone(&self.store.0);
        let progress = Arc::<Progress>::default();
        let shared = Arc::clone(&progress);
        let task = BlockingTask::spawn(move |token| {
            let sweep = Sweep {
                everything: request.everything,
                now: request.now.unwrap_or_else(|| store.now()),
                store: &store,
                token,
                progress: &shared,
            };
            sweep.run()
        });
        ResponseFuture {
            task,
            progress,
            context: Some(request.context),
        }
    }
}

// === impl CleanupRequest ===

impl CleanupRequest {
    /// Returns a request to remove the expired attachments that are not [leased](super::Attachment#leases).
    #[must_use]
    pub fn expired() -> Self {
        Self::default()
    }

    /// Returns a request to remove all attachments that are neither [persistent](super::Ttl::Persistent) nor
    /// [leased](super::Attachment#leases), expired or not.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// Sets the time that decides which attachments have expired. The default is the time of the
    /// store's clock when the sweep starts.
    #[must_use]
    pub fn at(mut self, now: SystemTime) -> Self {
        self.now = Some(now);
        self
    }

    /// Sets the context.
    #[must_use]
    pub fn with_context(mut self, context: CallContext) -> Self {
        self.context = context;
        self
    }
}

impl CodexRequest for CleanupRequest {
    fn operation(&self) -> Operation {
        Operation::AttachmentCleanup
    }

    fn context(&self) -> &CallContext {
        &self.context
    }

    fn context_mut(&mut self) -> &mut CallContext {
        &mut self.context
    }
}

// === impl ResponseFuture ===

impl ResponseFuture {
    fn record(&mut self) {
        let Some(context) = self.context.take() else {
            return;
        };
        let report = self.progress.report();
        for (key, count) in [
            (names::CLEANUP_REMOVED, report.removed),
            (names::CLEANUP_KEPT, report.kept),
            (names::CLEANUP_LEASED, report.leased),
            (names::CLEANUP_FAILED, report.failed),
            (names::CLEANUP_BYTES, report.removed_bytes),
        ] {
            context.record(key, i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

impl Future for ResponseFuture {
    type Output = Result<CleanupReport, AttachmentError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.task).poll(cx));
        // Recorded here and not on drop, because the layers can close the call before the drop.
        self.record();
        Poll::Ready(result.map(|()| std::mem::take(&mut *self.progress.report())))
    }
}

impl Drop for ResponseFuture {
    fn drop(&mut self) {
        self.record();
    }
}
