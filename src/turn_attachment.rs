use crate::{attachment::Attachment, turn::TurnRequest};

impl TurnRequest {
    /// Adds a staged image to the prompt, and keeps it in its store.
    ///
    /// The request takes over the attachment's [lease](Attachment#leases): no sweep removes the file while
    /// the turn waits in a queue, runs, or is tried again. An attachment without a lease is added without
    /// one.
    ///
    /// ```
    /// use codex_telemetry::attachment::{AttachmentStore, CleanupRequest, CleanupService, Ttl};
    /// use codex_telemetry::turn::TurnRequest;
    /// use std::time::Duration;
    /// use tower::ServiceExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let store = AttachmentStore::open(dir)?;
    /// let image = store.stage_bytes("plot.png", "…", Ttl::For(Duration::ZERO)).await?;
    /// let request = TurnRequest::new("What does this show?").with_attachment(&image);
    /// drop(image);
    ///
    /// let cleanup = CleanupService::new(store);
    /// let report = cleanup.clone().oneshot(CleanupRequest::expired()).await?;
    /// assert_eq!((report.removed, report.leased), (0, 1));
    /// drop(request);
    /// let report = cleanup.oneshot(CleanupRequest::expired()).await?;
    /// assert_eq!((report.removed, report.leased), (1, 0));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_attachment(self, attachment: &Attachment) -> Self {
        self.with_lease(attachment).with_image(&attachment.path)
    }

    /// Keeps a staged file in its store as [`with_attachment`](Self::with_attachment) does, without adding it
    /// to the prompt: for a file that is no image, and that the prompt names by its path.
    #[must_use]
    pub fn with_lease(self, attachment: &Attachment) -> Self {
        match attachment.lease() {
            Some(lease) => self.holding(lease),
            None => self,
        }
    }
}
