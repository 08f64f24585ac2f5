use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
};

use serde::{Serialize, de::DeserializeOwned};
use tower_service::Service;

use super::{arguments, future::ResponseFuture};
use crate::{
    call::CallContext,
    error::BoxError,
    tool::{ToolCall, ToolError, ToolOutput},
};

/// A tool that is an async function; made by [`tool_fn`].
pub struct ToolFn<F, A> {
    function: F,
    arguments: PhantomData<fn(A)>,
}

/// Returns a tool that reads its arguments into a type, runs an async function, and writes its result
/// as JSON.
///
/// The function gets the call's context beside its arguments, to record on, or to make requests on
/// behalf of the call with [`child`](CallContext::child). For a tool without arguments, let them be an
/// empty struct: that takes the `{}` that models send.
///
/// # Errors
///
/// The tool answers [`ToolError::InvalidArguments`] when the arguments are none of the type's, with a
/// reason that names the place and what would fit, in the type's own field names, but repeats nothing of
/// the arguments; the words of a hand-written `Deserialize` are withheld when they would. It answers
/// [`ToolError::Failed`] when the function fails, or when its result cannot be written as JSON; an
/// error that is a `ToolError` stays as it is.
///
/// ```
/// use codex_telemetry::tool::{ToolCall, ToolError, tool_fn};
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
/// use tower::ServiceExt;
///
/// #[derive(Deserialize)]
/// struct Trip { kilometres: f64, hours: f64 }
///
/// #[derive(Serialize)]
/// struct Speed { kmh: f64 }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ToolError> {
/// let speed = tool_fn(|trip: Trip, context| async move {
///     context.record("trip.hours", trip.hours);
///     Ok::<_, ToolError>(Speed { kmh: trip.kilometres / trip.hours })
/// });
///
/// let call = ToolCall::new("speed", json!({ "kilometres": 120.0, "hours": 1.5 }));
/// assert_eq!(speed.clone().oneshot(call).await?.content, json!({ "kmh": 80.0 }));
///
/// let call = ToolCall::new("speed", json!({ "kilometres": 120.0, "hours": "one and a half" }));
/// assert_eq!(
///     speed.oneshot(call).await.unwrap_err().to_string(),
///     "the arguments of tool `speed` do not fit it: `hours`: invalid type: string, expected f64"
/// );
/// # Ok(())
/// # }
/// ```
// Bounded, unlike other constructors here: without it the types of a closure's parameters are not
// inferred.
pub fn tool_fn<F, A, Fut>(function: F) -> ToolFn<F, A>
where
    F: Fn(A, CallContext) -> Fut,
{
    ToolFn {
        function,
        arguments: PhantomData,
    }
}

// === impl ToolFn ===

impl<F, A, Fut, O, E> Service<ToolCall> for ToolFn<F, A>
where
    F: Fn(A, CallContext) -> Fut,
    Fut: Future<Output = Result<O, E>>,
    A: DeserializeOwned,
    O: Serialize,
    E: Into<BoxError>,
{
    type Response = ToolOutput;
    type Error = ToolError;
    type Future = ResponseFuture<Fut>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ToolCall) -> Self::Future {
        match arguments::read(&call.arguments) {
            Ok(arguments) => {
                let running = (self.function)(arguments, call.context);
                ResponseFuture::running(running, call.name)
            }
            Err(reason) => ResponseFuture::refused(ToolError::InvalidArguments {
                tool: Arc::clone(&call.name),
                reason,
            }),
        }
    }
}

// By hand, because deriving would ask the arguments to be `Clone`, too.
impl<F: Clone, A> Clone for ToolFn<F, A> {
    fn clone(&self) -> Self {
        Self {
            function: self.function.clone(),
            arguments: PhantomData,
        }
    }
}

impl<F, A> fmt::Debug for ToolFn<F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolFn")
            .field("arguments", &std::any::type_name::<A>())
            .finish_non_exhaustive()
    }
}
