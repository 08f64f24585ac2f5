use std::path::Path;

use crate::{
    attachment::Attachment,
    turn::{TurnRequest, image_type},
};

impl TurnRequest {
    /// Adds a staged file to the prompt, and keeps it in its store.
    ///
    /// An attachment whose name ends in `.png`, `.jpg`, `.jpeg`, `.gif` or `.webp`, in any case, is an
    /// [image](Self::with_image), which the model sees. Any other one is a [file](Self::with_file): the prompt that
    /// Codex gets ends with its name and path, and the model reads it by a command. The name is a part of the prompt,
    /// also if a user of the program has chosen it.
    ///
    /// The request takes over the attachment's [lease](Attachment#leases): no sweep removes the file while
    /// the turn waits in a queue, runs, or is tried again. An attachment without a lease is added without
    /// one.
    ///
    /// Commands read the file in each of Codex's sandboxes; [`with_file`](Self::with_file) says what a permission
    /// profile needs. So the store's directory is not added to the request:
    /// [an additional directory](Self::with_additional_directory) is writable, and a command could then remove or
    /// replace the attachments of other turns. For the same reason the store does not belong below the working
    /// directory or a directory for temporary files, which are writable in [`Sandbox::WorkspaceWrite`].
    ///
    /// [`Sandbox::WorkspaceWrite`]: crate::turn::Sandbox::WorkspaceWrite
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
    /// let table = store.stage_bytes("plot.csv", "…", Ttl::For(Duration::ZERO)).await?;
    /// let request = TurnRequest::new("Does the plot show the table?")
    ///     .with_attachment(&image)
    ///     .with_attachment(&table);
    /// assert_eq!(request.images(), [image.path.clone()]);
    /// assert!(request.files().eq([("plot.csv", &*table.path)]));
    /// drop((image, table));
    ///
    /// let cleanup = CleanupService::new(store);
    /// let report = cleanup.clone().oneshot(CleanupRequest::expired()).await?;
    /// assert_eq!((report.removed, report.leased), (0, 2));
    /// drop(request);
    /// let report = cleanup.oneshot(CleanupRequest::expired()).await?;
    /// assert_eq!((report.removed, report.leased), (2, 0));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_attachment(self, attachment: &Attachment) -> Self {
        let request = self.with_lease(attachment);
        match image_type(Path::new(&attachment.name)) {
            Some(_) => request.with_image(&attachment.path),
            None => request.with_named_file(&attachment.name, &attachment.path),
        }
    }

    /// Keeps a staged file in its store as [`with_attachment`](Self::with_attachment) does, without adding it
    /// to the prompt: for one that the prompt names by its path, or that Codex reaches in another way.
    ///
    /// ```
    /// use codex_telemetry::attachment::{AttachmentStore, Ttl};
    /// use codex_telemetry::turn::TurnRequest;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let store = AttachmentStore::open(dir)?;
    /// let table = store.stage_bytes("plot.csv", "…", Ttl::default()).await?;
    /// let prompt = format!("Draw the second column of {}", table.path.display());
    /// let request = TurnRequest::new(prompt).with_lease(&table);
    /// assert_eq!(request.files().count(), 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_lease(self, attachment: &Attachment) -> Self {
        match attachment.lease() {
            Some(lease) => self.holding(lease),
            None => self,
        }
    }
}
