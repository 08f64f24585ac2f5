use std::time::SystemTime;

use crate::{
    call::{CallContext, CodexRequest},
    event::Operation,
};

/// Asks a [`CleanupService`](super::CleanupService) to sweep.
///
/// ```
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
/// store.stage_bytes("always.txt", "for good", Ttl::Persistent).await?;
///
/// let tomorrow = SystemTime::now() + Duration::from_secs(24 * 60 * 60);
/// let cleanup = CleanupService::new(store);
/// let report = cleanup.oneshot(CleanupRequest::expired().at(tomorrow)).await?;
/// assert_eq!((report.removed, report.kept), (1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct CleanupRequest {
    pub(super) everything: bool,
    pub(super) now: Option<SystemTime>,
    pub(super) context: CallContext,
}

// === impl CleanupRequest ===

impl CleanupRequest {
    /// Returns a request to remove what has expired.
    #[must_use]
    pub fn expired() -> Self {
        Self::default()
    }

    /// Returns a request to remove every attachment that is not
    /// [persistent](crate::attachment::Ttl::Persistent), expired or not.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// Sets the time to judge expiry by; unless set, that is when the sweep begins, by the store's
    /// clock.
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
