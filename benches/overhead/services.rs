//! Trivial services, one for each way in which a call can end.

use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    task::{Context, Poll},
};

use codex_telemetry::{Call, CodexRequest};
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
