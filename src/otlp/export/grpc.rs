//! OTLP over gRPC: one call, and what its status says.
//!
//! Tonic frames and compresses the message and reads the status. The HTTP client below it is the same as
//! without gRPC, so that TLS, proxies and errors of connections are the same.

use std::{error::Error, fmt, time::Duration};

use bytes::{Buf as _, BufMut as _, Bytes};
use http::{HeaderMap, StatusCode, header, uri::PathAndQuery};
use http_body_util::BodyExt as _;
use reqwest::Url;
use tonic::{
    Code, Extensions, Request, Status,
    body::Body,
    client::Grpc,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
};
use tonic_types::StatusExt as _;
use tower::service_fn;

use super::{
    http as otlp_http,
    outcome::{ExportOutcome, Problem},
    response,
};
use crate::{error::BoxError, otlp::config::Signal};

/// Parts of the messages that receivers reject large requests with, in lower case. Their codes have other
/// meanings as well.
const TOO_LARGE: &[&str] = &[
    "larger than max",
    "exceeds maximum size",
    "length too large",
    "message too large",
];

/// Passes messages through: the exporter has encoded them.
struct Encoded;

/// A response without gRPC, for example that of a proxy.
#[derive(Debug)]
struct NotGrpc {
    status: StatusCode,
    retry_after: Option<Duration>,
}

/// Returns the path of the method that takes a signal.
pub(super) fn path(signal: Signal) -> PathAndQuery {
    PathAndQuery::from_static(match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    })
}

/// Calls the method of a signal and returns the outcome, or the error if there is no response.
pub(super) async fn call(
    client: reqwest::Client,
    mut url: Url,
    path: PathAndQuery,
    headers: HeaderMap,
    gzip: bool,
    message: Bytes,
) -> Result<ExportOutcome, Unanswered> {
    url.set_query(None);
    url.set_path(path.path());
    let grpc = Grpc::new(service_fn(|request: http::Request<Body>| {
        send(client.clone(), url.clone(), request)
    }));
    // Servers of grpc-go compress the response if the request is compressed, without being asked.
    let mut grpc = grpc.accept_compressed(CompressionEncoding::Gzip);
    if gzip {
        grpc = grpc.send_compressed(CompressionEncoding::Gzip);
    }
    let metadata = MetadataMap::from_headers(headers);
    let request = Request::from_parts(metadata, Extensions::new(), message);
    match grpc.unary(request, path, Encoded).await {
        Ok(response) => Ok(response::success(response.into_inner())),
        Err(status) => failure(status),
    }
}

/// Why there is no response.
pub(super) struct Unanswered(Status);

impl Unanswered {
    /// Returns the error of the connection.
    pub(super) fn error(&self) -> &(dyn Error + 'static) {
        self.0.source().unwrap_or(&self.0)
    }
}

async fn send(
    client: reqwest::Client,
    url: Url,
    request: http::Request<Body>,
) -> Result<http::Response<reqwest::Body>, BoxError> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let request = client.post(url).headers(parts.headers).body(body);
    let response = request.send().await.map_err(reqwest::Error::without_url)?;
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if content_type.is_none_or(|value| !value.as_bytes().starts_with(b"application/grpc")) {
        return Err(Box::new(NotGrpc {
            status: response.status(),
            retry_after: otlp_http::retry_after(response.headers()),
        }));
    }
    Ok(response.into())
}

fn failure(status: Status) -> Result<ExportOutcome, Unanswered> {
    if let Some(source) = status.source() {
        return match source.downcast_ref::<NotGrpc>() {
            Some(response) => Ok(response.outcome()),
            None => Err(Unanswered(status)),
        };
    }
    let code = status.code();
    let retry_after = status.get_details_retry_info();
    let retry_after = retry_after.and_then(|info| info.retry_delay);
    let name = name(code);
    let message = match status.message() {
        "" => String::new(),
        message => format!(": {message}"),
    };
    let text = format!("the receiver responded with gRPC status {name}{message}");
    let problem = Problem::new(name, text);
    let message = status.message().to_ascii_lowercase();
    Ok(match code {
        Code::ResourceExhausted | Code::OutOfRange
            if TOO_LARGE.iter().any(|part| message.contains(part)) =>
        {
            ExportOutcome::TooLarge(problem)
        }
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Aborted
        | Code::OutOfRange
        | Code::DataLoss => ExportOutcome::Retryable {
            problem,
            retry_after,
        },
        // The protocol allows a retry only with a retry delay from the receiver.
        Code::ResourceExhausted if retry_after.is_some() => ExportOutcome::Retryable {
            problem,
            retry_after,
        },
        _ => ExportOutcome::Rejected(problem),
    })
}

/// Returns the name of a code as the protocol writes it, such as `NOT_FOUND`.
fn name(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

// === impl NotGrpc ===

impl NotGrpc {
    fn outcome(&self) -> ExportOutcome {
        let status = self.status;
        if status.is_client_error() || status.is_server_error() {
            return otlp_http::failure(status, self.retry_after, b", without gRPC");
        }
        let status = status.as_u16();
        let text = format!(
            "the receiver responded with status {status} and not with gRPC; check scheme, protocol and port"
        );
        ExportOutcome::Rejected(Problem::new("garbled_response", text))
    }
}

impl fmt::Display for NotGrpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {} without gRPC", self.status)
    }
}

impl Error for NotGrpc {}

// === impl Encoded ===

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_codes_of_the_protocol_are_retryable() {
        for code in (0..17).map(Code::from_i32) {
            let Ok(outcome) = failure(Status::new(code, "no")) else {
                panic!("a status without a source is a response");
            };
            let found = matches!(outcome, ExportOutcome::Retryable { .. });
            let expected = [
                Code::Cancelled,
                Code::DeadlineExceeded,
                Code::Aborted,
                Code::OutOfRange,
                Code::Unavailable,
                Code::DataLoss,
            ];
            assert_eq!(found, expected.contains(&code), "{code:?}");
        }
    }

    #[test]
    fn the_rejections_of_large_messages_are_known() {
        for (code, message) in [
            // grpc-go and the C core.
            (
                Code::ResourceExhausted,
                "grpc: received message larger than max (5000000 vs. 4194304)",
            ),
            (
                Code::ResourceExhausted,
                "Received message larger than max (5000000 vs. 4194304)",
            ),
            // grpc-java.
            (
                Code::ResourceExhausted,
                "gRPC message exceeds maximum size 4194304: 5000000",
            ),
            // tonic.
            (
                Code::OutOfRange,
                "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304",
            ),
        ] {
            let Ok(outcome) = failure(Status::new(code, message)) else {
                panic!("a status without a source is a response");
            };
            assert!(matches!(outcome, ExportOutcome::TooLarge(_)), "{outcome:?}");
        }
    }

    #[test]
    fn the_names_of_codes_are_those_of_the_protocol() {
        assert_eq!(name(Code::Ok), "OK");
        assert_eq!(name(Code::FailedPrecondition), "FAILED_PRECONDITION");
    }
}
