//! The context that rides in a request, and the call that is open for it.
//!
//! A layer or a service writes on the request's [`CallContext`]. While no call is open, that does nothing
//! and costs next to nothing.

#[expect(
    clippy::module_inception,
    reason = "the file of `Call` has the name of the type"
)]
mod call;
mod codex_request;
mod context;
mod guard;
mod open_call;
mod traceparent;

pub(crate) use self::open_call::OpenCall;
pub use self::{call::Call, codex_request::CodexRequest, context::CallContext, guard::CallGuard};
