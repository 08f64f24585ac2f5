use opentelemetry::StringValue;

use super::CallContext;
use crate::event::Operation;

/// A request that carries a [`CallContext`], as the layers need it.
///
/// The requests of the crate's services implement it. [`Call`](crate::Call) adds a context to any other
/// type. An application can also implement it for a type of its own:
///
/// ```
/// use codex_telemetry::{CallContext, CodexRequest, MemorySink, Operation, TimingLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// struct Sync { account: u32, context: CallContext }
///
/// impl CodexRequest for Sync {
///     fn operation(&self) -> Operation {
///         Operation::Custom("billing.sync")
///     }
///     // `name` has a default: no name.
///     fn context(&self) -> &CallContext {
///         &self.context
///     }
///     fn context_mut(&mut self) -> &mut CallContext {
///         &mut self.context
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sink = MemorySink::new();
/// let layer = TimingLayer::new(sink.clone());
/// let service = layer.layer(service_fn(|sync: Sync| async move { Ok::<_, ()>(sync.account) }));
/// let request = Sync { account: 7, context: CallContext::new() };
/// assert_eq!(service.oneshot(request).await, Ok(7));
/// assert_eq!(sink.events()[0].name(), "billing.sync.start");
/// # }
/// ```
pub trait CodexRequest {
    /// Returns the kind of work.
    fn operation(&self) -> Operation;

    /// Returns the name of the tool or the agent.
    ///
    /// It becomes a metric label, so it should be one of a small set.
    fn name(&self) -> Option<StringValue> {
        None
    }

    /// Returns the context.
    fn context(&self) -> &CallContext;

    /// Returns the context for changes.
    fn context_mut(&mut self) -> &mut CallContext;
}
