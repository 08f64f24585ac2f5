use std::{collections::BTreeMap, convert::Infallible, future::pending, time::Instant};

use hyper::{Response, body::Bytes, header, http::request::Parts};
use tokio::sync::Notify;

use super::{
    MockResponse,
    body::ReplyBody,
    grpc, http,
    payload::{Payload, Signal},
    reply::Reply,
    request::{Encoding, Format, Replied, Request},
    state::Shared,
};

/// The protocol of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Grpc,
}

/// A request that was read completely.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) head: Parts,
    pub(super) body: Bytes,
    pub(super) protocol: Protocol,
}

/// Responds to a request, closes its connection, or never responds.
pub(super) async fn handle(
    request: Incoming,
    shared: &Shared,
    close: &Notify,
) -> Result<Response<ReplyBody>, Infallible> {
    let decoded = match request.protocol {
        Protocol::Http => http::decode(&request),
        Protocol::Grpc => grpc::decode(&request),
    };
    let (signal, payload) = match decoded {
        Ok(decoded) => decoded,
        Err(rejection) => return Ok(reject(&request, rejection, shared)),
    };
    let response = shared.next_response();
    let payload = accepted(payload, &response);
    let closes = matches!(response, MockResponse::CloseMidway);
    if let Some(reply) = Reply::of(response) {
        let (response, replied) = request.render(reply, signal);
        shared.record(request.record(replied), payload);
        return Ok(response);
    }
    shared.record(request.record(Replied::Nothing), payload);
    if closes {
        close.notify_one();
    }
    pending().await
}

/// Returns the records that a response accepts.
fn accepted(mut payload: Payload, response: &MockResponse) -> Payload {
    if !response.accepts_records() {
        return Payload::default();
    }
    if let MockResponse::PartialSuccess { rejected, .. } = response {
        payload.reject(*rejected);
    }
    payload
}

fn reject(request: &Incoming, rejection: Reply, shared: &Shared) -> Response<ReplyBody> {
    // A test can check the path and the method. An invalid body is a defect of the sender in any test.
    if let Reply::Status {
        status: 400 | 415,
        message,
        ..
    } = &rejection
    {
        shared.decode_failed(format!("{}: {message}", request.head.uri.path()));
    }
    let (response, replied) = request.render(rejection, Signal::Traces);
    shared.record(request.record(replied), Payload::default());
    response
}

// === impl Incoming ===

impl Incoming {
    pub(super) fn encoding(&self) -> Encoding {
        Encoding::of(self.header(match self.protocol {
            Protocol::Http => "content-encoding",
            Protocol::Grpc => "grpc-encoding",
        }))
    }

    pub(super) fn format(&self) -> Option<Format> {
        Format::of(self.header(header::CONTENT_TYPE.as_str()))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    fn render(&self, reply: Reply, signal: Signal) -> (Response<ReplyBody>, Replied) {
        match self.protocol {
            Protocol::Http => {
                let format = self.format().unwrap_or(Format::Protobuf);
                let response = http::render(reply, signal, format);
                let status = response.status().as_u16();
                (response, Replied::Http(status))
            }
            Protocol::Grpc => {
                let (response, code) = grpc::render(reply, signal, &self.encoding());
                let status = response.status().as_u16();
                (response, code.map_or(Replied::Http(status), Replied::Grpc))
            }
        }
    }

    pub(super) fn record(&self, replied: Replied) -> Request {
        let mut headers = BTreeMap::<String, String>::new();
        for (name, value) in &self.head.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            headers
                .entry(name.as_str().to_owned())
                .and_modify(|earlier| *earlier = format!("{earlier}, {value}"))
                .or_insert_with(|| value.clone().into_owned());
        }
        Request {
            path: self.head.uri.path().to_owned(),
            headers,
            encoding: self.encoding(),
            format: self.format(),
            body_bytes: self.body.len(),
            received_at: Instant::now(),
            replied,
        }
    }
}
