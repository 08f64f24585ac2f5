use std::{path::PathBuf, sync::Arc};

use super::{Expiry, lease::Lease};

/// A file in an [`AttachmentStore`](super::AttachmentStore).
///
/// The file is read-only. Its modification time is its expiry, so do not change it.
///
/// # Leases
///
/// An attachment that was staged has a lease, which its clones share: no sweep, of any process, removes
/// the file until the last clone is dropped, even if its expiry has passed. The lease ends with the process.
/// It is a lock on the open file, so each leased attachment takes a file descriptor;
/// [`release`](Self::release) ends the lease of a value that is only a record.
///
/// [`AttachmentStore::list`](super::AttachmentStore::list) and [`new`](Self::new) return attachments
/// without a lease; [`AttachmentStore::lease`](super::AttachmentStore::lease) takes one.
///
/// Equality and the serialized form are those of the fields, without the lease. With the feature `json` it
/// can be serialized, with the [expiry](Expiry) as a text.
///
/// ```
/// use codex_telemetry::attachment::{AttachmentStore, Ttl};
/// use std::time::{Duration, SystemTime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let store = AttachmentStore::open(dir)?;
/// let mut notes = store.stage_bytes("notes.txt", "remember the milk", Ttl::For(Duration::ZERO)).await?;
/// assert_eq!((&*notes.name, notes.size), ("notes.txt", 17));
/// assert!(notes.path.starts_with(store.directory()) && notes.expiry.has_passed(SystemTime::now()));
///
/// // Until here, a sweep keeps it although it has expired.
/// assert!(notes.is_leased());
/// notes.release();
/// assert!(!notes.is_leased());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Attachment {
    /// The absolute path of the file.
    #[cfg_attr(feature = "json", serde(serialize_with = "serialize_path"))]
    pub path: PathBuf,
    /// The name it was staged under.
    pub name: String,
    /// The SHA-256 of its content, as 64 lower-case hex digits.
    pub hash: String,
    /// Its size in bytes.
    pub size: u64,
    /// When a sweep may remove it.
    pub expiry: Expiry,
    #[cfg_attr(feature = "json", serde(skip))]
    lease: Option<Arc<Lease>>,
}

// === impl Attachment ===

impl Attachment {
    /// Returns the description of a file, without a lease, for instance for a fake store.
    ///
    /// ```
    /// use codex_telemetry::attachment::{Attachment, Expiry, StageRequest, Ttl};
    /// use std::convert::Infallible;
    /// use tower::{ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Infallible> {
    /// let stage = service_fn(|request: StageRequest| async move {
    ///     let path = format!("/attachments/{}", request.name);
    ///     Ok::<_, Infallible>(Attachment::new(path, request.name, "0".repeat(64), 17, Expiry::Infinite))
    /// });
    /// let request = StageRequest::bytes("notes.txt", "remember the milk", Ttl::default());
    /// assert!(!stage.oneshot(request).await?.is_leased());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn new(
        path: impl Into<PathBuf>,
        name: impl Into<String>,
        hash: impl Into<String>,
        size: u64,
        expiry: Expiry,
    ) -> Self {
        Self {
            path: path.into(),
            name: name.into(),
            hash: hash.into(),
            size,
            expiry,
            lease: None,
        }
    }

    /// Returns whether the value has a [lease](Self#leases).
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.lease.is_some()
    }

    /// Gives up the lease of this value. Its clones, and the requests that it was added to, keep theirs.
    pub fn release(&mut self) {
        self.lease = None;
    }

    pub(super) fn with_lease(mut self, lease: Lease) -> Self {
        self.lease = Some(Arc::new(lease));
        self
    }

    /// Returns the lease for somebody who only holds it.
    #[cfg(feature = "turn")]
    pub(crate) fn lease(&self) -> Option<Arc<dyn std::any::Any + Send + Sync>> {
        self.lease.clone().map(|lease| lease as _)
    }
}

impl PartialEq for Attachment {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
            && self.name == other.name
            && self.hash == other.hash
            && self.size == other.size
            && self.expiry == other.expiry
    }
}

impl Eq for Attachment {}

/// Serializes a path as a text. serde's own implementation fails for a path that is not UTF-8.
#[cfg(feature = "json")]
fn serialize_path<S: serde::Serializer>(
    path: &std::path::Path,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}
