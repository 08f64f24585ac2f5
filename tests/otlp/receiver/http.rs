//! OTLP over HTTP/1.1.

use httpdate::fmt_http_date;
use hyper::{
    Method, Response, StatusCode,
    header::{CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER},
};
use prost::Message as _;
use serde_json::json;

use super::{
    body::ReplyBody,
    handler::Incoming,
    payload::{Payload, Signal, decompress},
    reply::{ExportResponse, PartialSuccess, Reply, RpcStatus},
    request::Format,
};

/// Returns the payload of the request, or the reply that rejects it.
pub(super) fn decode(request: &Incoming) -> Result<(Signal, Payload), Reply> {
    let path = request.head.uri.path();
    let signal = Signal::of_path(path)
        .ok_or_else(|| Reply::status(404, format!("there is nothing at {path}")))?;
    if request.head.method != Method::POST {
        return Err(Reply::status(405, "expected POST"));
    }
    let format = request.format();
    let format = format.ok_or_else(|| Reply::status(415, "the content type is not OTLP's"))?;
    let payload = decompress(&request.body, &request.encoding())
        .and_then(|body| signal.decode(&body, format));
    match payload {
        Ok(payload) => Ok((signal, payload)),
        Err(error) => Err(Reply::status(400, error)),
    }
}

pub(super) fn render(reply: Reply, signal: Signal, format: Format) -> Response<ReplyBody> {
    const PAGE: &str = "<!DOCTYPE html><html><body>Welcome to nginx!</body></html>";
    let content_type = match reply {
        Reply::Page => "text/html",
        _ => format.content_type(),
    };
    let response = Response::builder().header(CONTENT_TYPE, content_type);
    let response = match reply {
        Reply::Success { partial } => {
            response.body(ReplyBody::new(success(partial, signal, format)))
        }
        Reply::Malformed(body) => response.body(ReplyBody::new(body)),
        Reply::Page => response.body(ReplyBody::new(PAGE)),
        Reply::Stopped => response.body(ReplyBody::stopped()),
        Reply::Redirect(location) => response
            .status(StatusCode::TEMPORARY_REDIRECT)
            .header(LOCATION, location)
            .body(ReplyBody::default()),
        Reply::Status {
            status,
            message,
            retry_after,
            date,
        } => {
            let mut response = response.status(status);
            if let (Some(delay), Some(date)) = (retry_after, date) {
                response = response
                    .header(DATE, fmt_http_date(date))
                    .header(RETRY_AFTER, fmt_http_date(date + delay));
            } else if let Some(delay) = retry_after {
                let part = u64::from(delay.subsec_nanos() > 0);
                response = response.header(RETRY_AFTER, delay.as_secs() + part);
            }
            response.body(ReplyBody::new(failure(message, format)))
        }
    };
    response.expect("a status and headers that HTTP knows")
}

fn success(partial: Option<(i64, String)>, signal: Signal, format: Format) -> Vec<u8> {
    match (format, partial) {
        (Format::Json, None) => b"{}".to_vec(),
        (Format::Json, Some((rejected, message))) => {
            // Protobuf's JSON mapping writes 64-bit integers as strings.
            let rejected_items = rejected.to_string();
            let partial = json!({ signal.rejected(): rejected_items, "errorMessage": message });
            json!({ "partialSuccess": partial })
                .to_string()
                .into_bytes()
        }
        (Format::Protobuf, partial) => partial_success(partial).encode_to_vec(),
    }
}

pub(super) fn partial_success(partial: Option<(i64, String)>) -> ExportResponse {
    ExportResponse {
        partial_success: partial.map(|(rejected, error_message)| PartialSuccess {
            rejected,
            error_message,
        }),
    }
}

fn failure(message: String, format: Format) -> Vec<u8> {
    match format {
        Format::Json => json!({ "message": message }).to_string().into_bytes(),
        Format::Protobuf => RpcStatus {
            message,
            ..RpcStatus::default()
        }
        .encode_to_vec(),
    }
}
