use std::time::{Duration, SystemTime};

use prost::Message;

use super::MockResponse;

/// A response, independent of the protocol.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// All records were accepted, or a part of them.
    Success {
        partial: Option<(i64, String)>,
    },
    /// A success by its status, with any body.
    Malformed(Vec<u8>),
    /// A success by its status, with a page of HTML.
    Page,
    Status {
        status: u16,
        message: String,
        retry_after: Option<Duration>,
        /// The date of the response, from which on the client should wait: `Retry-After` is a date.
        date: Option<SystemTime>,
    },
    Redirect(String),
    /// A success without its body.
    Stopped,
}

impl Reply {
    pub(super) fn status(status: u16, message: impl Into<String>) -> Self {
        Self::Status {
            status,
            message: message.into(),
            retry_after: None,
            date: None,
        }
    }

    /// Returns the reply; `None` if the receiver does not respond.
    pub(super) fn of(response: MockResponse) -> Option<Self> {
        const MESSAGE: &str = "the configured message";
        Some(match response {
            MockResponse::Accept => Self::Success { partial: None },
            MockResponse::PartialSuccess { rejected, message } => Self::Success {
                partial: Some((rejected, message)),
            },
            MockResponse::Status(status) => Self::status(status, MESSAGE),
            MockResponse::StatusWithRetryAfter(status, delay) => Self::Status {
                status,
                message: MESSAGE.to_owned(),
                retry_after: Some(delay),
                date: None,
            },
            MockResponse::StatusWithRetryDate(status, delay) => Self::Status {
                status,
                message: MESSAGE.to_owned(),
                retry_after: Some(delay),
                date: Some(SystemTime::now() + Duration::from_secs(3600)),
            },
            MockResponse::StatusWithMessage(status, message) => Self::status(status, message),
            MockResponse::Body200(body) => Self::Malformed(body),
            MockResponse::Page => Self::Page,
            MockResponse::Redirect(location) => Self::Redirect(location),
            MockResponse::StopMidway => Self::Stopped,
            MockResponse::Hang | MockResponse::CloseMidway => return None,
        })
    }
}

/// The response of any signal. The three differ only in their names, which protobuf does not encode.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) partial_success: Option<PartialSuccess>,
}

/// The number of rejected records, and the reason.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(super) rejected: i64,
    #[prost(string, tag = "2")]
    pub(super) error_message: String,
}

/// `google.rpc.Status`, the body of failures over both transports.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Any {
    pub(super) fn retry_info(delay: Duration) -> Self {
        let delay = ProtoDuration {
            seconds: delay.as_secs().cast_signed(),
            nanos: delay.subsec_nanos().cast_signed(),
        };
        let info = RetryInfo {
            retry_delay: Some(delay),
        };
        Self {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
            value: info.encode_to_vec(),
        }
    }
}
