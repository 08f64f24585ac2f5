use opentelemetry::StringValue;

use super::CallContext;
use crate::event::Operation;

/// A request that the layers can time, attribute and classify.
///
/// The crate's own requests are ones. Give a foreign type a context with [`Call`], or implement this
/// for a type of yours that carries one.
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
    /// Returns what kind of work this asks for.
    fn operation(&self) -> Operation;

    /// Returns the name of what is called: the tool or the agent.
    ///
    /// It becomes a metric label: names should come from a small set.
    fn name(&self) -> Option<StringValue> {
        None
    }

    /// Returns the context.
    fn context(&self) -> &CallContext;

    /// Returns the context, to write to.
    fn context_mut(&mut self) -> &mut CallContext;
}

/// The envelope that gives a request of any type an operation, a name and a context.
///
/// ```
/// use codex_telemetry::{Call, CodexRequest, Operation};
///
/// let call = Call::new(Operation::Custom("billing.sync"), vec![1, 2, 3]).with_name("nightly");
/// assert_eq!(call.operation().as_str(), "billing.sync");
/// assert_eq!(call.request, [1, 2, 3]);
/// ```
#[derive(Clone, Debug)]
pub struct Call<T> {
    /// The request itself.
    pub request: T,
    /// What rides along.
    pub context: CallContext,
    operation: Operation,
    name: Option<StringValue>,
}

impl<T> Call<T> {
    /// Returns an envelope with a fresh context.
    pub fn new(operation: Operation, request: T) -> Self {
        Self {
            request,
            context: CallContext::new(),
            operation,
            name: None,
        }
    }

    /// Sets the name of what is called.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<StringValue>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the context.
    #[must_use]
    pub fn with_context(mut self, context: CallContext) -> Self {
        self.context = context;
        self
    }
}

impl<T> CodexRequest for Call<T> {
    fn operation(&self) -> Operation {
        self.operation
    }

    fn name(&self) -> Option<StringValue> {
        self.name.clone()
    }

    fn context(&self) -> &CallContext {
        &self.context
    }

    fn context_mut(&mut self) -> &mut CallContext {
        &mut self.context
    }
}
