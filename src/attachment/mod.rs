//! Staged files: a store with a time to live, and its cleanup.
//!
//! The directory is the index. An attachment is a regular file in it by the name of
//! `<sha256 of its content>-<its name>`, and its modification time is when it expires. There is no
//! second place that could disagree: nothing to load after a restart, nothing to repair after a
//! crash.
//!
//! | file | what it is |
//! |---|---|
//! | `<64 hex digits>-<name>` | an attachment, whole, read-only |
//! | `.staging-<16 hex digits>` | one that is being written; its writer holds a lock on it |
//! | `.lock` | what stages and sweeps of every process exclude each other by |
//! | anything else | not the store's: never followed, listed, counted or removed |
//!
//! Staging writes beside, syncs, and renames into place; so an attachment is whole or absent,
//! whenever the process dies. A sweep looks at a batch of files without the lock, takes it only when
//! some are due, looks at those again if anything was staged meanwhile, and removes them; so one that
//! was staged anew in between stays, and stages come in between two batches. Every file is reached
//! through one handle on the directory, and no symbolic link in it is followed; so a path that is
//! swapped leads nowhere else.

mod blocking;
mod builder;
pub mod cleanup;
mod directory;
mod entry;
mod error;
mod expiry;
mod inner;
mod lock;
mod name;
mod stage;
mod staging;
mod store;
mod sweeper;

pub use self::{
    builder::AttachmentStoreBuilder,
    cleanup::{CleanupError, CleanupFailure, CleanupReport, CleanupRequest, CleanupService},
    entry::Attachment,
    error::AttachmentError,
    expiry::{Expiry, Ttl},
    store::AttachmentStore,
    sweeper::Sweeper,
};
