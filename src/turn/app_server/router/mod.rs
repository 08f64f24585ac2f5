//! Where the lines of a server go: answers to whoever asked, and what is about a thread to the turn that has it.
//!
//! It does no input or output, and knows no process. `router.rs` has what it knows. The other files are what it does:
//! `turns.rs` and `requests.rs` for the turns, `incoming.rs`, `outgoing.rs` and `lifetime.rs` for the connection.

mod incoming;
mod lease;
mod lifetime;
mod outgoing;
mod over;
mod requests;
#[allow(clippy::module_inception, reason = "the type has the name of its room")]
mod router;
mod turns;

#[cfg(test)]
pub(super) use self::incoming::IGNORED;
pub(super) use self::{
    lease::{Lease, Release},
    lifetime::Check,
    outgoing::OutgoingLine,
    over::{Over, Reason},
    requests::{RequestError, START_THREAD, Trace},
    router::{Limits, Router},
};
