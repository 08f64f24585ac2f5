//! OTLP over gRPC, framed by hand. A server framework would respond to an unknown method or an invalid body
//! by itself, and would hide the connection, which has to be closed.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use hyper::{HeaderMap, Response, header::CONTENT_TYPE, header::HeaderValue};
use prost::Message as _;
use tonic::{Code, Status};

use super::{
    body::ReplyBody,
    handler::Incoming,
    http::{self, partial_success},
    payload::{Payload, Signal, decompress},
    reply::{Any, Reply, RpcStatus},
    request::{Encoding, Format},
};

/// Returns the payload of the request, or the reply that rejects it.
pub(super) fn decode(request: &Incoming) -> Result<(Signal, Payload), Reply> {
    let path = request.head.uri.path();
    let signal = Signal::of_method(path)
        .ok_or_else(|| Reply::status(404, format!("there is no method {path}")))?;
    let payload = unframe(&request.body, &request.encoding())
        .and_then(|message| signal.decode(&message, Format::Protobuf));
    match payload {
        Ok(payload) => Ok((signal, payload)),
        Err(error) => Err(Reply::status(400, error)),
    }
}

/// Returns the message of a unary request: a flag, four bytes of length, and the message.
fn unframe(body: &[u8], encoding: &Encoding) -> Result<Vec<u8>, String> {
    let (prefix, message) = body
        .split_at_checked(5)
        .ok_or("a frame without its prefix")?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    if u32::try_from(message.len()) != Ok(length) {
        return Err(format!("{} bytes in a frame of {length}", message.len()));
    }
    match prefix[0] {
        0 => Ok(message.to_vec()),
        1 => decompress(message, encoding),
        flag => Err(format!("a frame with flag {flag}")),
    }
}

fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a message of less than 4 GiB");
    [&[flag], &length.to_be_bytes()[..], message].concat()
}

fn compress(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(message).expect("to write to memory");
    encoder.finish().expect("to write to memory")
}

/// Returns the response, and its code if it is a gRPC response.
pub(super) fn render(
    reply: Reply,
    signal: Signal,
    encoding: &Encoding,
) -> (Response<ReplyBody>, Option<Code>) {
    match reply {
        Reply::Success { partial } => {
            let message = partial_success(partial).encode_to_vec();
            (ok(&message, encoding), Some(Code::Ok))
        }
        Reply::Malformed(body) => (ok(&body, encoding), Some(Code::Ok)),
        Reply::Status {
            status,
            message,
            retry_after,
            date: _,
        } => {
            let code = code(status);
            let mut details = RpcStatus {
                code: code.into(),
                message: message.clone(),
                details: Vec::new(),
            };
            details.details.extend(retry_after.map(Any::retry_info));
            let details = details.encode_to_vec().into();
            let status = Status::with_details(code, message, details);
            (status.into_http(), Some(code))
        }
        Reply::Stopped => {
            let mut response = ok(&[], &Encoding::Identity);
            *response.body_mut() = ReplyBody::stopped();
            (response, Some(Code::Ok))
        }
        // As a proxy responds, without gRPC.
        Reply::Redirect(_) | Reply::Page => (http::render(reply, signal, Format::Protobuf), None),
    }
}

/// Responds with the encoding of the request, whatever the client accepts, as the servers of grpc-go do. Like
/// theirs, the message is not compressed if it is empty.
fn ok(message: &[u8], encoding: &Encoding) -> Response<ReplyBody> {
    let is_gzip = *encoding == Encoding::Gzip;
    let frame = match is_gzip && !message.is_empty() {
        true => frame(1, &compress(message)),
        false => frame(0, message),
    };
    let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
    let body = ReplyBody::new(frame).with_trailers(trailers);
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    if is_gzip {
        let encoding = HeaderValue::from_static("gzip");
        response.headers_mut().insert("grpc-encoding", encoding);
    }
    response
}

fn code(status: u16) -> Code {
    match status {
        200..300 => Code::Ok,
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 | 501 => Code::Unimplemented,
        408 => Code::DeadlineExceeded,
        429 => Code::ResourceExhausted,
        500 => Code::Internal,
        502..=504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}
