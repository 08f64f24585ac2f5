//! Trivial services, one for each way in which a call can end.
#![allow(dead_code, reason = "no benchmark uses all of it")]

use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    task::{Context, Poll},
};

use codex_telemetry::{Call, CallContext, CodexRequest, Operation};
use tower::Service;

/// An error without a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure;

/// Succeeds at once.
#[derive(Clone)]
pub(crate) struct Bare;

/// Records three attributes and succeeds at once.
#[derive(Clone)]
pub(crate) struct Recording;

/// Records one attribute and succeeds at once, as a tool does.
#[derive(Clone)]
pub(crate) struct UsingTool;

/// Fails at once.
#[derive(Clone)]
pub(crate) struct Failing;

/// Is pending at the first poll and succeeds at the second.
#[derive(Clone)]
pub(crate) struct PendingOnce;

/// The future of [`PendingOnce`].
pub(crate) struct Later {
    polled: bool,
    response: u64,
}

type Response = Result<u64, Failure>;

/// Returns the call of a tool as an application makes it, with a name and the id that the model gave it.
pub(crate) fn tool_call() -> Call<u64> {
    let context = CallContext::new().with_call_id("call_Jr8sVAJZZyWk2UTVgdJFhVlv".to_owned());
    Call::new(Operation::Tool, 7)
        .with_name("read_file")
        .with_context(context)
}

impl Service<Call<u64>> for Bare {
    type Response = u64;
    type Error = Failure;
    type Future = Ready<Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<u64>) -> Self::Future {
        ready(Ok(call.request))
    }
}

impl Service<Call<u64>> for Recording {
    type Response = u64;
    type Error = Failure;
    type Future = Ready<Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<u64>) -> Self::Future {
        let context = call.context();
        context.record("app.queue.depth", 3);
        context.record("app.region", "north");
        context.record("app.cached", true);
        ready(Ok(call.request))
    }
}

impl Service<Call<u64>> for UsingTool {
    type Response = u64;
    type Error = Failure;
    type Future = Ready<Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<u64>) -> Self::Future {
        call.context().record("app.tool.bytes", 512);
        ready(Ok(call.request))
    }
}

impl Service<Call<u64>> for Failing {
    type Response = u64;
    type Error = Failure;
    type Future = Ready<Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Call<u64>) -> Self::Future {
        ready(Err(Failure))
    }
}

impl Service<Call<u64>> for PendingOnce {
    type Response = u64;
    type Error = Failure;
    type Future = Later;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<u64>) -> Self::Future {
        Later {
            polled: false,
            response: call.request,
        }
    }
}

impl Future for Later {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Response> {
        if std::mem::replace(&mut self.polled, true) {
            Poll::Ready(Ok(self.response))
        } else {
            Poll::Pending
        }
    }
}
