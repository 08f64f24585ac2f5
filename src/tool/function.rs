//! Tools from async functions.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use serde::de::DeserializeOwned;
use tower_service::Service;

use super::{ArgumentsError, IntoToolOutput, ToolCall, ToolError, ToolOutput};
use crate::{call::CallContext, error::BoxError};

/// A tool that runs an async function. [`tool_fn`] returns it.
///
/// ```
/// use codex_telemetry::tool::{ToolCall, ToolError, tool_fn};
/// use serde::Deserialize;
/// use serde_json::json;
/// use tower::{Service, ServiceExt};
///
/// #[derive(Deserialize)]
/// struct NoArguments {}
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ToolError> {
/// // Clones call the same function; what it shares, it shares by itself.
/// let count = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
/// let mut next = tool_fn(move |_: NoArguments, _context| {
///     let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
///     async move { Ok::<_, ToolError>(number) }
/// });
/// let mut clone = next.clone();
/// assert_eq!(next.ready().await?.call(ToolCall::new("next", json!({}))).await?.content, 0);
/// assert_eq!(clone.ready().await?.call(ToolCall::new("next", json!({}))).await?.content, 1);
/// # Ok(())
/// # }
/// ```
pub struct ToolFn<F, A> {
    function: F,
    arguments: PhantomData<fn(A)>,
}

pin_project! {
    /// The response future of [`ToolFn`].
    ///
    /// ```
    /// use codex_telemetry::tool::{ToolCall, ToolError, function, tool_fn};
    /// use serde_json::json;
    /// use std::future::{Ready, ready};
    /// use tower::Service;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// type Doubled = Result<i64, ToolError>;
    ///
    /// let mut double = tool_fn(|number: i64, _context| ready(Doubled::Ok(2 * number)));
    /// // Invalid arguments are an error of the future, which then has no function to run.
    /// let response: function::ResponseFuture<Ready<Doubled>> =
    ///     double.call(ToolCall::new("double", json!("seven")));
    /// assert!(matches!(response.await, Err(ToolError::InvalidArguments { .. })));
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the function's future. It is as cancel safe as that one.
    ///
    /// # Panics
    ///
    /// When it is polled after it has completed with an error for invalid arguments; otherwise as the function's future.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Running {
            #[pin]
            running: F,
            tool: Arc<str>,
        },
        Failed {
            error: Option<ToolError>,
        },
    }
}

/// Returns a tool that deserializes its arguments, runs an async function, and serializes the result.
///
/// The function receives the arguments and the context of the call. It can record attributes on the
/// context, and make nested requests with its [`child`](CallContext::child). For a tool without
/// arguments, use an empty struct: it accepts the `{}` that models send.
///
/// # Errors
///
/// The tool returns [`ToolError::InvalidArguments`] if the arguments cannot be deserialized. The
/// reason has the path of the invalid argument and serde's message, which can quote the argument. The
/// tool returns [`ToolError::Failed`] if the function fails or its result cannot be serialized. If the
/// function's error is a `ToolError`, the tool returns it unchanged.
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
///     "invalid arguments for tool `speed`: hours: invalid type: string \"one and a half\", expected f64"
/// );
/// # Ok(())
/// # }
/// ```
// The bound is needed to infer the types of a closure's parameters.
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

impl<F, A> ToolFn<F, A> {
    /// Returns a specification of this tool, with the schema of its arguments' type.
    ///
    /// ```
    /// use codex_telemetry::tool::{ToolError, ToolService, tool_fn};
    /// use schemars::JsonSchema;
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Trip { kilometres: f64, hours: f64 }
    ///
    /// # fn main() -> Result<(), codex_telemetry::tool::ToolSpecError> {
    /// let speed = tool_fn(|trip: Trip, _context| async move {
    ///     Ok::<_, ToolError>(trip.kilometres / trip.hours)
    /// });
    /// let spec = speed.spec("speed", "Returns the average speed of a trip in km/h");
    /// assert_eq!(spec.input_schema()["properties"]["hours"]["type"], "number");
    /// let tools = ToolService::builder().tool(spec, speed).build()?;
    /// assert_eq!(tools.names().len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "schemars")]
    pub fn spec(&self, name: impl Into<Arc<str>>, description: impl Into<String>) -> super::ToolSpec
    where
        A: schemars::JsonSchema,
    {
        super::ToolSpec::of::<A>(name, description)
    }
}

impl<F, A, Fut, O, E> Service<ToolCall> for ToolFn<F, A>
where
    F: Fn(A, CallContext) -> Fut,
    Fut: Future<Output = Result<O, E>>,
    A: DeserializeOwned,
    O: IntoToolOutput,
    E: Into<BoxError>,
{
    type Response = ToolOutput;
    type Error = ToolError;
    type Future = ResponseFuture<Fut>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ToolCall) -> Self::Future {
        let state = match serde_path_to_error::deserialize(&call.arguments) {
            Ok(arguments) => State::Running {
                running: (self.function)(arguments, call.context),
                tool: call.name,
            },
            Err(error) => State::Failed {
                error: Some(ToolError::InvalidArguments {
                    tool: call.name,
                    source: ArgumentsError::new(error.to_string()),
                }),
            },
        };
        ResponseFuture { state }
    }
}

// Not derived, because a derive would require `A: Clone`.
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

// === impl ResponseFuture ===

impl<F, O, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<O, E>>,
    O: IntoToolOutput,
    E: Into<BoxError>,
{
    type Output = Result<ToolOutput, ToolError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Running { running, tool } => {
                let output = match ready!(running.poll(cx)) {
                    Ok(output) => output.into_tool_output(),
                    Err(error) => Err(error.into()),
                };
                Poll::Ready(output.map_err(|error| ToolError::from_tool(tool, error)))
            }
            StateProjection::Failed { error } => {
                Poll::Ready(Err(error.take().expect("polled after completion")))
            }
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
