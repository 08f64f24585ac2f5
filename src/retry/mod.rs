//! Retry by class: a policy for tower's own retry layer.
//!
//! [`RetryPolicy`] asks a classifier why a call failed, and makes it again only when that may help: after
//! the time that the failing side named, or else after a pause that grows and is drawn anew each time. The
//! calls of one policy draw on one budget, so that a service that is down is not hit much harder than one
//! that works.
//!
//! # Where it goes
//!
//! ```text
//! TimingLayer          the whole call: how long the caller waited, each retry as a moment within it
//!   ErrorClassLayer    why it failed in the end
//!     RetryLayer       with a RetryPolicy
//!       TimingLayer    each attempt: a child call, with its number
//!         ErrorClassLayer    why that attempt failed
//! ```
//!
//! Either `TimingLayer` may be left out. Without the inner one there is one call, and the retries are
//! moments within it; without the outer one each attempt is a call by itself. A timeout inside of the
//! retry is for an attempt, one outside of it for the whole.
//!
//! # What a retry repeats
//!
//! The same request goes out again, and nothing of the failed attempt is undone. A turn that failed
//! half-way has run its commands and changed its files, and one that resumed no thread starts a new one.
//! Put the policy around work that may be done twice.

mod policy;

pub use self::policy::RetryPolicy;
