use std::time::Duration;

use prost::Message;

use super::Behaviour;

/// What to answer, before a protocol puts it into its own words.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// Everything, or all but some, was taken.
    Success {
        partial: Option<(i64, String)>,
    },
    /// A success by its status, with no proper response in its body.
    Garbage(Vec<u8>),
    Status {
        status: u16,
        message: String,
        retry_after: Option<Duration>,
    },
    Redirect(String),
}

impl Answer {
    pub(super) fn status(status: u16, message: impl Into<String>) -> Self {
        Self::Status {
            status,
            message: message.into(),
            retry_after: None,
        }
    }

    /// Returns the answer that a behaviour stands for, or none if it is not to answer.
    pub(super) fn of(behaviour: Behaviour) -> Option<Self> {
        const TOLD: &str = "the receiver was told to answer so";
        Some(match behaviour {
            Behaviour::Accept => Self::Success { partial: None },
            Behaviour::PartialSuccess { rejected, message } => Self::Success {
                partial: Some((rejected, message)),
            },
            Behaviour::Status(status) => Self::status(status, TOLD),
            Behaviour::StatusWithRetryAfter(status, delay) => Self::Status {
                status,
                message: TOLD.to_owned(),
                retry_after: Some(delay),
            },
            Behaviour::Body200(body) => Self::Garbage(body),
            Behaviour::Redirect(location) => Self::Redirect(location),
            Behaviour::Hang | Behaviour::CloseMidway => return None,
        })
    }
}

/// The response of any signal: the three differ in names alone, which protobuf does not write.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) partial_success: Option<PartialSuccess>,
}

/// How much was not taken, and why.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(super) rejected: i64,
    #[prost(string, tag = "2")]
    pub(super) error_message: String,
}

/// `google.rpc.Status`, which both transports explain failures with.
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
