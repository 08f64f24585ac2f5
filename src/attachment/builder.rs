use std::path::Path;

use super::{AttachmentError, AttachmentStore};
use crate::event::Clock;

/// 512 MiB: more than any model takes, less than what fills a disk by mistake.
const DEFAULT_MAX_SIZE: u64 = 512 << 20;

/// Opens an [`AttachmentStore`] that is not like every other.
///
/// ```
/// use codex_telemetry::attachment::AttachmentStore;
///
/// # let dir = tempfile::tempdir()?;
/// let store = AttachmentStore::builder().max_size(1 << 20).open(dir.path())?;
/// assert_eq!(store.max_size(), 1 << 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it opens a store"]
pub struct AttachmentStoreBuilder {
    max_size: u64,
    clock: Option<Clock>,
}

impl AttachmentStoreBuilder {
    pub(super) fn new() -> Self {
        Self {
            max_size: DEFAULT_MAX_SIZE,
            clock: None,
        }
    }

    /// Sets the size, in bytes, that no attachment may exceed; 512 MiB unless set.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = bytes;
        self
    }

    /// Sets the clock that times to live are counted by, such as one that a test moves.
    ///
    /// Unless set, the system's wall clock is read each time.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Opens the store in a directory, which is made when it is not there, for its owner only.
    ///
    /// # Errors
    ///
    /// [`AttachmentError::Io`] when the directory cannot be made, opened or locked, or when its file
    /// system cannot hold a modification time in the future.
    pub fn open(self, directory: impl AsRef<Path>) -> Result<AttachmentStore, AttachmentError> {
        AttachmentStore::open_as(directory.as_ref(), self.max_size, self.clock)
    }
}
