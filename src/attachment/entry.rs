use std::path::PathBuf;

use super::Expiry;

/// A file that an [`AttachmentStore`](super::AttachmentStore) holds.
///
/// It is read-only, and is to stay so: its modification time is its expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attachment {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// The name it was staged under.
    pub name: String,
    /// The SHA-256 of its content, as 64 lower-case hex digits.
    pub hash: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it may be removed.
    pub expiry: Expiry,
}
