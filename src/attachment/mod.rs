//! A store of files with a time to live, and its cleanup.
//!
//! The store's directory is its only index. An attachment is a regular file with the name
//! `<SHA-256 of its content>-<its name>`. Its modification time is its expiry. So there is nothing to
//! load after a restart and nothing to repair after a crash.
//!
//! | file | meaning |
//! |---|---|
//! | `<64 hex digits>-<name>` | an attachment: complete and read-only |
//! | `.staging-<16 hex digits>` | a file that is being written; its writer holds a lock on it |
//! | `.lock` | the lock file through which the stages and sweeps of all processes exclude each other |
//! | anything else | not a file of the store: never followed, listed, counted or removed |
//!
//! A stage writes a staging file, syncs it and renames it. So an attachment is whole or absent,
//! whenever the process dies.
//!
//! A sweep works in batches. It reads the metadata of a batch without the lock, up to the first file
//! that is due. For that file and the rest of the batch it takes the lock, reads the metadata, and
//! removes what is due. So it never removes an attachment that was just extended, and stages can go on
//! between two batches.
//!
//! The store reaches every file through one handle of the directory and follows no symbolic link in
//! it. So a replaced path cannot lead it elsewhere.

mod blocking;
#[cfg(test)]
mod checks;
pub mod cleanup;
mod crash_point;
mod directory;
mod error;
mod expiry;
mod lock;
mod name;
mod report;
mod stage;
mod store;
mod sweep;
mod sweeper;

pub use self::{
    cleanup::{CleanupRequest, CleanupService},
    error::AttachmentError,
    expiry::{Expiry, Ttl},
    report::{CleanupFailure, CleanupReport},
    store::{Attachment, AttachmentStore, AttachmentStoreBuilder},
    sweeper::Sweeper,
};
