//! A store of files with a time to live, and the services that stage and remove them.
//!
//! The store's directory is its only index. An attachment is a regular file with the name
//! `<SHA-256 of its content>-<its name>`. Its modification time is its expiry. So there is nothing to
//! load after a restart and nothing to repair after a crash.
//!
//! | to do | take |
//! |---|---|
//! | copy bytes, a file or a reader into the store | [`AttachmentStore`], or [`StageService`] under layers |
//! | give a file to a turn, and keep it until the turn has ended | `TurnRequest::with_attachment` |
//! | remove what is due | [`CleanupService`]; [`Sweeper`] repeats it |
//!
//! # Files
//!
//! | file | meaning |
//! |---|---|
//! | `<64 hex digits>-<name>` | an attachment: complete and read-only |
//! | `.staging-<16 hex digits>` | a file that is being written; its writer holds a lock on it |
//! | `.lock` | the lock file through which the stages and sweeps of all processes exclude each other |
//! | anything else | not a file of the store: never followed, listed, counted or removed |
//!
//! A stage writes a staging file, syncs it, renames it, and syncs the directory. So an attachment is whole
//! or absent, whenever the process dies:
//!
//! | a stage that ends | leaves | then |
//! |---|---|---|
//! | by a crash before the rename | the staging file | the next sweep removes it |
//! | by a crash after the rename | the attachment | a power failure before the sync of the directory may undo the rename |
//! | by a cancellation, or an error before the rename | nothing, or, if that cannot be removed, the staging file | the next sweep removes it |
//! | by an error of the sync of the directory | the attachment | staging it again syncs the directory |
//!
//! A sweep that ends early leaves the rest to the next one. It does not sync what it removes: after a power
//! failure, the next sweep removes it again.
//!
//! A sweep works in batches. It reads the metadata of a batch without the lock, up to the first file
//! that is due. For that file and the rest of the batch it takes the lock, reads the metadata, and
//! removes what is due. So it never removes an attachment that was just extended, and stages can go on
//! between two batches. A sweep that finds no due file takes no lock.
//!
//! A [lease](Attachment#leases) is a shared lock on the attachment's file. A sweep removes only a file that
//! it can lock exclusively at once, and counts any other as kept and leased. A stage replaces only such a
//! file, too. If the attachment is leased and its content is intact, the stage extends its expiry in place,
//! so the lease goes on holding. A file that another program has changed or removed is staged anew, without
//! the leases of the old one.
//!
//! All waits for a lock can be cancelled, and fail after 30 seconds with [`AttachmentError::LockTimeout`]:
//! a sweep holds the lock for milliseconds, so its holder is stopped or hangs. Opening a store waits for no
//! lock.
//!
//! A store is for one host and one user, on a local file system. `flock` and modification times do not hold
//! across the hosts of a network file system, and NFS refuses the exclusive lock of a read-only file, so a
//! sweep of a store on it removes nothing. The expiry is a wall-clock time: if the clock jumps ahead, a sweep removes
//! everything that expires until then, except what is leased.
//!
//! The store reaches every file through one handle of the directory and follows no symbolic link in
//! it. So a replaced path cannot lead it elsewhere.

#[expect(
    clippy::module_inception,
    reason = "the file of `Attachment` has the name of the type"
)]
mod attachment;
mod blocking;
#[cfg(test)]
mod checks;
pub mod cleanup;
mod crash_point;
mod directory;
mod error;
mod expiry;
mod hash;
mod lease;
mod lock;
mod name;
mod report;
mod stage;
pub mod staging;
mod staging_file;
mod store;
mod sweep;
mod sweeper;

pub use self::{
    attachment::Attachment,
    cleanup::{CleanupRequest, CleanupService},
    error::AttachmentError,
    expiry::{Expiry, Ttl},
    report::{CleanupFailure, CleanupReport},
    staging::{StageRequest, StageService},
    store::{AttachmentStore, AttachmentStoreBuilder},
    sweeper::Sweeper,
};
