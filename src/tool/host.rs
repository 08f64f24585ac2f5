use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::timeout;
use tower::{
    ServiceExt,
    util::{BoxCloneSyncService, Oneshot},
};
use tower_service::Service;

use super::{ToolCall, ToolError, ToolOutput, ToolService, ToolSpec};
use crate::{
    error::{BoxError, catch_panic, poll_catching_panics},
    event::Ticket,
};

/// The tools of a program as Codex calls them: a registry, the stack through which its calls go, and a deadline.
///
/// A call by a model goes through the stack like any other call. What the model is told of a failure is
/// [`ToolError::message_for_model`].
///
/// ```
/// use codex_telemetry::{
///     ErrorClassLayer, MemorySink, TimingLayer, ToolError,
///     tool::{HostTools, ToolService, ToolSpec, tool_fn},
/// };
/// use serde_json::Value;
/// use std::time::Duration;
/// use tower::ServiceBuilder;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let echo = tool_fn(|value: Value, _context| async move { Ok::<_, ToolError>(value) });
/// let registry = ToolService::builder()
///     .tool(ToolSpec::new("echo", "Returns its arguments"), echo)
///     .build()?;
/// let stack = ServiceBuilder::new()
///     .layer(TimingLayer::new(MemorySink::new()))
///     .layer(ErrorClassLayer::new(ToolError::classification))
///     .service(registry.clone());
/// let tools = HostTools::new(&registry, stack, Duration::from_secs(60)).with_output_limit(64 * 1024);
/// assert_eq!((tools.deadline().as_secs(), tools.output_limit()), (60, 65_536));
///
/// // A thread that starts from now on does not have the tool.
/// tools.registry().set_enabled("echo", false)?;
/// assert!(!registry.is_enabled("echo"));
/// # Ok(())
/// # }
/// ```
///
/// # The deadline
///
/// It is the one of a call, with everything in the stack, such as the wait for an approval. A call that takes longer is
/// dropped, and fails with [`ToolError::TimedOut`]. Its open call ends as an error of the class `timeout`.
///
/// # The limit of an output
///
/// An output of more than 16 MiB is not sent, its text and its media in base64 together: the model is told that it is too
/// large, and the call fails with [`ToolError::OutputTooLarge`]. The tool itself has succeeded by then, and so says its
/// event. Codex shows the model about 48,000 characters of a text: a tool whose texts are longer should offer to return a
/// part.
///
/// # Calls and their events
///
/// A [`TimingLayer`](crate::TimingLayer) in the stack makes the event of a call, with the parent, the ids and the
/// originator of the turn. Without one, the service that runs the turn makes it, from what Codex tells of the call.
///
/// # Cancel safety
///
/// A call runs in the future of its turn or of its request, and is dropped with it.
#[derive(Clone)]
pub struct HostTools {
    registry: ToolService,
    stack: BoxStack,
    deadline: Duration,
    output_limit: usize,
}

/// The default of the most bytes of an output.
const OUTPUT_LIMIT: usize = 16 * 1024 * 1024;

type BoxStack = BoxCloneSyncService<ToolCall, ToolOutput, BoxError>;

pin_project! {
    /// A call that runs in the stack. Its output is an error with the message of the panic if the stack panics.
    struct Running {
        #[pin]
        running: Option<Oneshot<BoxStack, ToolCall>>,
    }

    impl PinnedDrop for Running {
        fn drop(this: Pin<&mut Self>) {
            // A tool that panics when it is dropped does not end the turn, whose other calls go on. Two of them that
            // panic while a turn is dropped would abort the program.
            let _ = catch_panic(|| this.project().running.set(None));
        }
    }
}

impl HostTools {
    /// Returns the tools of a registry, with the stack that its calls go through, and a deadline for each call.
    ///
    /// The stack ends in the registry, or in a service that knows the same tools. Each call runs on a clone of it.
    pub fn new<S>(registry: &ToolService, stack: S, deadline: Duration) -> Self
    where
        S: Service<ToolCall, Response = ToolOutput> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        Self {
            registry: registry.clone(),
            stack: BoxCloneSyncService::new(stack.map_err(Into::into)),
            deadline,
            output_limit: OUTPUT_LIMIT,
        }
    }

    /// Sets the most bytes of an output, its text and its media in base64 together; the default is 16 MiB.
    ///
    /// Codex repeats an output in one line. So a [`CodexAppServer`](crate::turn::CodexAppServer) does not send one that
    /// takes more than half of its [limit of a line](crate::turn::CodexAppServerBuilder::line_limit) as JSON either.
    #[must_use]
    pub const fn with_output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// Returns the most bytes of an output.
    #[must_use]
    pub const fn output_limit(&self) -> usize {
        self.output_limit
    }

    /// Returns the registry, in which tools can be disabled.
    #[must_use]
    pub const fn registry(&self) -> &ToolService {
        &self.registry
    }

    /// Returns the deadline of a call.
    #[must_use]
    pub const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Returns the specifications of the tools that are enabled, in the order of their names.
    pub(crate) fn specs(&self) -> impl Iterator<Item = &ToolSpec> {
        self.registry.enabled_specs()
    }

    /// Runs a call through the stack. The deadline starts now.
    pub(crate) fn call(
        &self,
        call: ToolCall,
        ticket: Ticket,
    ) -> impl Future<Output = Result<ToolOutput, ToolError>> + Send + 'static {
        let (stack, deadline, tool) = (self.stack.clone(), self.deadline, Arc::clone(&call.name));
        let limit = self.output_limit;
        // The clone is called by the first poll: a service may panic when it is called.
        let running = Some(stack.oneshot(call));
        let finished = timeout(deadline, Running { running });
        async move {
            let mut finished = Box::pin(finished);
            let error = match finished.as_mut().await {
                Ok(Ok(Ok(output))) if output.length() <= limit => return Ok(output),
                Ok(Ok(Ok(_))) => ToolError::OutputTooLarge { tool, limit },
                Ok(Ok(Err(error))) => ToolError::from_tool(&tool, error),
                Ok(Err(message)) => ToolError::Panicked { tool, message },
                Err(_) => {
                    let error = ToolError::TimedOut {
                        tool,
                        after: deadline,
                    };
                    // The drop ends the calls in the open one first.
                    ticket.fail_when_dropped(error.classification());
                    drop(finished);
                    // The stack may run it elsewhere, such as in a task.
                    ticket.fail();
                    error
                }
            };
            Err(error)
        }
    }
}

impl fmt::Debug for HostTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostTools")
            .field("registry", &self.registry)
            .field("deadline", &self.deadline)
            .field("output_limit", &self.output_limit)
            .finish_non_exhaustive()
    }
}

// === impl Running ===

impl Future for Running {
    type Output = Result<Result<ToolOutput, BoxError>, String>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        poll_catching_panics(self.project().running, cx)
    }
}

#[cfg(test)]
mod tests;
