//! Retry by error class: a policy for tower's [`retry`](tower::retry) layer.
//!
//! [`RetryPolicy`] classifies the error of a call and retries it only if that may help. It waits as long as
//! the error says, or else for a backoff that grows and is jittered. The calls of one policy share a budget,
//! so a service that is down gets little more load than one that works.
//!
//! # The order of the layers
//!
//! ```text
//! TimingLayer            the whole call, with a span event for each retry
//!   ErrorClassLayer      the class of the error that the caller gets
//!     RetryLayer         with a RetryPolicy
//!       TimingLayer      each attempt, a child call with its number
//!         ErrorClassLayer    the class of the attempt's error
//! ```
//!
//! Either `TimingLayer` may be left out. Without the inner one there is one call, and the attempts show as
//! its span events only. Without the outer one each attempt is a call of its own. A timeout inside of the
//! retry limits an attempt, one outside of it limits the whole call.
//!
//! # What a retry repeats
//!
//! A retry sends the same request again and undoes nothing of the failed attempt. A turn that failed half-way
//! has run commands and changed files, and a turn that resumed no thread starts another new one. Retry only
//! what may be done twice.

mod policy;

pub use self::policy::RetryPolicy;
