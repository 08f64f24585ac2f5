use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use codex_telemetry::Call;
use http::{Method, Request, Response, Uri};
use http_body_util::Empty;
use tower::Service;

pub(crate) type Body = Empty<&'static [u8]>;
pub(crate) type HttpRequest = Request<Body>;

/// A trivial service for both kinds of requests. It is always ready.
#[derive(Clone, Copy)]
pub(crate) struct Bare;

/// Returns a small request without a traceparent.
pub(crate) fn http_request() -> HttpRequest {
    let mut request = Request::new(Body::new());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/turn");
    request
}

// === impl Bare ===

impl Service<Call<u64>> for Bare {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<u64>) -> Self::Future {
        ready(Ok(call.request))
    }
}

impl Service<HttpRequest> for Bare {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: HttpRequest) -> Self::Future {
        ready(Ok(Response::new(Body::new())))
    }
}
