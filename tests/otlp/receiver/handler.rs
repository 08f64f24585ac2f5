use std::{collections::BTreeMap, convert::Infallible, future::pending, time::Instant};

use hyper::{Response, body::Bytes, header, http::request::Parts};
use tokio::sync::Notify;

use super::{
    Behaviour,
    answer::Answer,
    body::Reply,
    grpc, http,
    payload::{Payload, Signal},
    request::{Answered, Encoding, Format, Request},
    state::Shared,
};

/// What the requests of a receiver are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Grpc,
}

/// A request that was read to its end.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) head: Parts,
    pub(super) body: Bytes,
    pub(super) protocol: Protocol,
}

/// Answers a request as told, or cuts its connection, or never answers.
pub(super) async fn handle(
    request: Incoming,
    shared: &Shared,
    cut: &Notify,
) -> Result<Response<Reply>, Infallible> {
    let decoded = match request.protocol {
        Protocol::Http => http::decode(&request),
        Protocol::Grpc => grpc::decode(&request),
    };
    let (signal, payload) = match decoded {
        Ok(decoded) => decoded,
        Err(refusal) => return Ok(refuse(&request, refusal, shared)),
    };
    let behaviour = shared.next_behaviour();
    let payload = take(payload, &behaviour);
    let cuts = matches!(behaviour, Behaviour::CloseMidway);
    if let Some(answer) = Answer::of(behaviour) {
        let (response, answered) = request.render(answer, signal);
        shared.record(request.record(answered), payload);
        return Ok(response);
    }
    shared.record(request.record(Answered::Nothing), payload);
    if cuts {
        cut.notify_one();
    }
    pending().await
}

/// Returns what is left of the data after a behaviour has had its way with it.
fn take(mut payload: Payload, behaviour: &Behaviour) -> Payload {
    if !behaviour.takes_data() {
        return Payload::default();
    }
    if let Behaviour::PartialSuccess { rejected, .. } = behaviour {
        payload.reject(*rejected);
    }
    payload
}

fn refuse(request: &Incoming, refusal: Answer, shared: &Shared) -> Response<Reply> {
    // A wrong path or method is for a test to notice among the requests; a right one with a wrong
    // body is a defect of the sender whatever the test looks for.
    if let Answer::Status {
        status: 400 | 415,
        message,
        ..
    } = &refusal
    {
        shared.decode_failed(format!("{}: {message}", request.head.uri.path()));
    }
    let (response, answered) = request.render(refusal, Signal::Traces);
    shared.record(request.record(answered), Payload::default());
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

    fn render(&self, answer: Answer, signal: Signal) -> (Response<Reply>, Answered) {
        match self.protocol {
            Protocol::Http => {
                let format = self.format().unwrap_or(Format::Protobuf);
                let response = http::render(answer, signal, format);
                let status = response.status().as_u16();
                (response, Answered::Http(status))
            }
            Protocol::Grpc => {
                let (response, code) = grpc::render(answer, signal);
                let status = response.status().as_u16();
                (
                    response,
                    code.map_or(Answered::Http(status), Answered::Grpc),
                )
            }
        }
    }

    pub(super) fn record(&self, answered: Answered) -> Request {
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
            answered,
        }
    }
}
