use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, task::Poll};

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::{
    grants::{Grant, Issued},
    pending_call::PendingCall,
};
use crate::{
    call::CallContext,
    tool::HostTools,
    turn::{ServedCalls, ServingTools, ToolAccess},
};

/// How much longer Codex waits for a result than the tools' deadline, in seconds: the answer that says that a tool was too
/// slow comes from here.
const TIMEOUT_MARGIN: f64 = 30.0;
/// The longest timeout that Codex is told, in seconds: it does not start with one that its clock does not have.
const MAX_TIMEOUT: f64 = 365.0 * 24.0 * 60.0 * 60.0;

/// An access of Codex, for one thread.
pub(super) struct Access {
    pub(super) issued: Issued,
    pub(super) name: Arc<str>,
    pub(super) url: Arc<str>,
    pub(super) tools: HostTools,
}

/// The calls of a turn that run.
struct Running {
    grant: Arc<Grant>,
    tools: HostTools,
    turn: CallContext,
    calls: ServedCalls,
    incoming: mpsc::UnboundedReceiver<PendingCall>,
    running: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl ToolAccess for Access {
    fn server(&self) -> &str {
        &self.name
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn token(&self) -> &str {
        self.issued.secret()
    }

    fn config(&self) -> Map<String, Value> {
        let mut config = Map::new();
        let mut set = |key: &str, value: Value| config.insert(key.to_owned(), value);
        set("url", json!(&*self.url));
        set("enabled", json!(true));
        // Otherwise a turn whose model has no tools goes on as if it had.
        set("required", json!(true));
        // The stack of the program has its own approvals.
        set("default_tools_approval_mode", json!("approve"));
        set("supports_parallel_tool_calls", json!(true));
        let timeout = self.tools.deadline().as_secs_f64() + TIMEOUT_MARGIN;
        let timeout = timeout.min(MAX_TIMEOUT);
        set("tool_timeout_sec", json!(timeout));
        config
    }

    fn serve(&self, turn: CallContext, calls: ServedCalls) -> ServingTools {
        let (sender, incoming) = mpsc::unbounded_channel();
        let grant = Arc::clone(self.issued.grant());
        grant.bind(sender);
        Box::pin(Running {
            grant,
            tools: self.tools.clone(),
            turn,
            calls,
            incoming,
            running: Vec::new(),
        })
    }
}

// === impl Running ===

impl Future for Running {
    type Output = Infallible;

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Infallible> {
        let this = self.get_mut();
        while let Poll::Ready(Some(call)) = this.incoming.poll_recv(cx) {
            let run = call.run(this.tools.clone(), this.turn.clone(), this.calls.clone());
            this.running.push(Box::pin(run));
        }
        this.running
            .retain_mut(|call| call.as_mut().poll(cx).is_pending());
        Poll::Pending
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.incoming.close();
        self.grant.unbind_closed();
    }
}
