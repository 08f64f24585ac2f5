//! The program's own tools of a test, and what the model was told of them.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use codex_telemetry::{
    ErrorClassLayer, TimingLayer,
    tool::{HostTools, ToolCall, ToolError, ToolOutput, ToolService, ToolSpec},
};
use serde_json::Value;
use tokio::sync::watch;
use tower::{Service, ServiceBuilder, service_fn};

use crate::{
    app_server::AppServer,
    bench::{Bench, DEADLINE, in_time},
};

/// Returns the specification of a tool that takes any object.
pub(crate) fn spec(name: &'static str) -> ToolSpec {
    ToolSpec::new(name, "A tool of the test")
}

/// Returns a registry with one tool.
pub(crate) fn registry_of<S>(name: &'static str, tool: S) -> ToolService
where
    S: Service<ToolCall, Response = ToolOutput> + Clone + Send + Sync + 'static,
    S::Error: Into<codex_telemetry::BoxError>,
    S::Future: Send,
{
    let registry = ToolService::builder().tool(spec(name), tool);
    registry.build().unwrap()
}

/// The stack through which the calls of the tools go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    Layered,
    /// The registry alone: the event of a call is made from what Codex tells of it.
    Bare,
}

impl Stack {
    pub(crate) const ALL: [Self; 2] = [Self::Layered, Self::Bare];
}

impl Bench {
    /// Returns the tools of a registry, through the layers.
    pub(crate) fn host_tools(&self, registry: &ToolService) -> HostTools {
        self.host_tools_of(Stack::Layered, registry, DEADLINE)
    }

    pub(crate) fn host_tools_of(
        &self,
        stack: Stack,
        registry: &ToolService,
        deadline: Duration,
    ) -> HostTools {
        match stack {
            Stack::Layered => {
                let stack = ServiceBuilder::new()
                    .layer(TimingLayer::new(self.sink.clone()))
                    .layer(ErrorClassLayer::new(ToolError::classification))
                    .service(registry.clone());
                HostTools::new(registry, stack, deadline)
            }
            Stack::Bare => HostTools::new(registry, registry.clone(), deadline),
        }
    }

    /// Returns a service with the tools of a registry.
    pub(crate) fn hosting(&self, registry: &ToolService) -> AppServer<'_> {
        self.hosting_by(Stack::Layered, registry)
    }

    pub(crate) fn hosting_by(&self, stack: Stack, registry: &ToolService) -> AppServer<'_> {
        self.app_server(|builder| builder.tools(self.host_tools_of(stack, registry, DEADLINE)))
    }

    /// Returns what the model was told of the calls of a tool by the last request.
    pub(crate) fn told_of(&self, tool: &str) -> Vec<Value> {
        let last = self.model.asked().pop().unwrap();
        let mut calls = last.calls();
        calls.retain(|call| call.tool == tool);
        let outputs = calls.into_iter().map(|call| call.output.unwrap());
        outputs.collect()
    }
}

/// A tool that begins and does not end. Clones are the same tool.
#[derive(Clone)]
pub(crate) struct Endless(Arc<watch::Sender<Counts>>);

#[derive(Default)]
struct Counts {
    begun: usize,
    dropped: usize,
}

/// A call that runs.
struct Running(Endless);

// === impl Endless ===

impl Endless {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn service(
        &self,
    ) -> impl Service<ToolCall, Response = ToolOutput, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + use<> {
        let tool = self.clone();
        service_fn(move |_: ToolCall| {
            let tool = tool.clone();
            async move {
                tool.0.send_modify(|counts| counts.begun += 1);
                let _running = Running(tool);
                pending().await
            }
        })
    }

    /// Waits until a number of calls have begun.
    pub(crate) async fn begun(&self, calls: usize) {
        let mut counts = self.0.subscribe();
        in_time(counts.wait_for(|counts| counts.begun == calls))
            .await
            .unwrap();
    }

    /// Returns how many calls were dropped.
    pub(crate) fn dropped(&self) -> usize {
        self.0.borrow().dropped
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.send_modify(|counts| counts.dropped += 1);
    }
}
