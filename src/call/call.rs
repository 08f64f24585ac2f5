use opentelemetry::StringValue;

use super::{CallContext, CodexRequest};
use crate::event::Operation;

/// A request of any type, with an operation, a name and a context.
///
/// ```
/// use codex_telemetry::{Call, CallContext, CodexRequest, Operation, Originator};
///
/// let context = CallContext::new().with_originator(Originator::Cli);
/// let call = Call::new(Operation::Custom("billing.sync"), vec![1, 2, 3])
///     .with_name("nightly")
///     .with_context(context);
/// assert_eq!(call.operation().as_str(), "billing.sync");
/// assert_eq!(call.name(), Some("nightly".into()));
/// assert_eq!(call.request, [1, 2, 3]);
/// assert_eq!(call.context.originator(), Some(&Originator::Cli));
/// ```
#[derive(Clone, Debug)]
pub struct Call<T> {
    /// The request.
    pub request: T,
    /// The context.
    pub context: CallContext,
    operation: Operation,
    name: Option<StringValue>,
}

impl<T> Call<T> {
    /// Returns a call of `request` with a new context.
    pub fn new(operation: Operation, request: T) -> Self {
        Self {
            request,
            context: CallContext::new(),
            operation,
            name: None,
        }
    }

    /// Sets the name of the tool or the agent.
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
