//! What rides in a request: who asked, which work it belongs to, and the call that is open for it.
//!
//! A layer or a service writes what it learns on the request's [`CallContext`]; while no call is open
//! that writes nothing and costs next to nothing.

mod context;
mod envelope;
mod guard;
mod open;
mod traceparent;

pub(crate) use self::open::OpenCall;
pub use self::{
    context::CallContext,
    envelope::{Call, CodexRequest},
    guard::CallGuard,
};
