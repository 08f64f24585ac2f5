//! Retry by error class: a policy for tower's [`retry`](tower::retry) layer.
//!
//! [`RetryPolicy`] classifies the error of a call and retries it only if that may help. It waits as long as
//! the error says and a little longer, or else for a backoff that grows; both are jittered. The calls of one
//! policy share a [`RetryBudget`], so a service that is down gets little more load than one that works.
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
//! retry limits an attempt, one outside of it limits the whole call. Load shedding and a queue go outside of the retry:
//! inside of it, a request that was refused as too much would be repeated.
//! [Operating](crate::guide::operating#the-stack) has the stack of a whole service.
//!
//! # What a retry repeats
//!
//! A retry sends the same request again and undoes nothing of the failed attempt. Retry only what may be done
//! twice.
//!
//! A turn that failed half-way has run commands, called MCP tools and changed files, and has used tokens. The
//! retry sees the changed files, but is not told what has been done. If the request resumes a thread, the
//! prompt is in that thread twice; if not, each attempt starts a thread of its own. The error does not say how
//! far the turn came. So a turn is retried by default only if it was refused (`rate_limit`, `overloaded`),
//! which mostly happens at its start; that can happen to a later request of the same turn as well. A turn
//! whose connection was lost, that ran into a deadline or whose provider failed is retried only by
//! [`RetryPolicy::retry_if`].
//!
//! Any other call is retried after these errors as well. That includes the call of a tool, even if the tool has
//! run a turn: put the policy around the turn inside, or exclude [`Operation::Tool`](crate::Operation::Tool).

mod budget;
mod policy;

pub use self::{budget::RetryBudget, policy::RetryPolicy};
