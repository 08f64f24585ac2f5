use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use tokio::sync::watch;

use super::{
    grants::{Grant, Grants},
    handler::Handler,
};

type Body = BoxBody<Bytes, Infallible>;

/// The largest request that is read, in bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// The HTTP service: lets requests with a valid token in.
#[derive(Clone)]
pub(super) struct Gate {
    grants: Arc<Grants>,
    service: StreamableHttpService<Handler, NeverSessionManager>,
    alive: watch::Sender<()>,
}

/// Who has sent a request.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) grant: Arc<Grant>,
    pub(super) address: SocketAddr,
    /// Gone when nothing of the request is left.
    _alive: watch::Sender<()>,
}

impl Gate {
    /// Returns the service. It and its requests have a clone of `alive`.
    pub(super) fn new(grants: Arc<Grants>, handler: Handler, alive: watch::Sender<()>) -> Self {
        // Without sessions, whose results wait for clients that may ask for them again, in any number and size: each
        // request is answered by itself, and one whose client goes away is cancelled.
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(MAX_BODY)
            .enforce_origin_validation();
        let service = StreamableHttpService::new(
            move || Ok(handler.clone()),
            Arc::new(NeverSessionManager::default()),
            config,
        );
        Self {
            grants,
            service,
            alive,
        }
    }

    pub(super) async fn handle(
        self,
        mut request: Request<Incoming>,
        address: SocketAddr,
    ) -> Result<Response<Body>, Infallible> {
        // Taken out, so that nobody behind the gate can show it.
        let token = request.headers_mut().remove(header::AUTHORIZATION);
        let token = token.as_ref().and_then(|value| value.to_str().ok());
        let Some(token) = token.and_then(bearer) else {
            return Ok(unauthorized("the request has no bearer token"));
        };
        let Some(grant) = self.grants.find(token) else {
            return Ok(unauthorized(
                "the bearer token is invalid, or no longer valid",
            ));
        };
        request.extensions_mut().insert(Caller {
            grant,
            address,
            _alive: self.alive.clone(),
        });
        Ok(self.service.handle(request).await)
    }
}

/// Returns the token in the value of an `Authorization` header.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_matches(' '))
}

fn unauthorized(reason: &'static str) -> Response<Body> {
    let body = Full::new(Bytes::from_static(reason.as_bytes())).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    let text = header::HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, text);
    let scheme = header::HeaderValue::from_static("Bearer");
    headers.insert(header::WWW_AUTHENTICATE, scheme);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_of_a_token_is_bearer_in_any_case() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for other in ["abc", "Bearer", "Basic abc", "Bearerabc", ""] {
            assert_eq!(bearer(other), None, "{other}");
        }
    }
}
