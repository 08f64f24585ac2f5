//! Trivial services, one for each way in which a call can go.

use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    task::{Context, Poll},
};

use codex_telemetry::{Call, CodexRequest, ErrorClass};
use tower::Service;

/// An error without a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure;

pub(crate) fn classify(_: &Failure) -> ErrorClass {
    ErrorClass::Transport
}

/// Answers at once.
#[derive(Clone)]
pub(crate) struct Bare;

/// Records three attributes, and answers at once.
#[derive(Clone)]
pub(crate) struct Recording;

/// Fails at once.
#[derive(Clone)]
pub(crate) struct Failing;

/// Answers when it is asked the second time.
#[derive(Clone)]
pub(crate) struct PendingOnce;

/// The future of [`PendingOnce`].
pub(crate) struct Later {
    asked: bool,
    answer: u64,
}

type Answer = Result<u64, Failure>;

impl Service<Call<u64>> for Bare {
    type Response = u64;
    type Error = Failure;
    type Future = Ready<Answer>;

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
    type Future = Ready<Answer>;

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
    type Future = Ready<Answer>;

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
            asked: false,
            answer: call.request,
        }
    }
}

impl Future for Later {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        if std::mem::replace(&mut self.asked, true) {
            Poll::Ready(Ok(self.answer))
        } else {
            Poll::Pending
        }
    }
}
