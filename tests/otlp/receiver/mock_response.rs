use std::time::Duration;

/// The response of a [`Receiver`](super::Receiver) to a request that it could decode.
///
/// A request with a wrong path or with a body that does not decode is always rejected. It does not consume
/// a response of [`Receiver::respond_next`](super::Receiver::respond_next).
#[derive(Clone, Debug, Default)]
pub(crate) enum MockResponse {
    /// Accepts all records.
    #[default]
    Accept,
    /// Responds with this HTTP status, or with the nearest gRPC code. Accepts the records if it is 2xx.
    Status(u16),
    /// A [`Status`](Self::Status) with `Retry-After` (in seconds, rounded up) or `RetryInfo`.
    StatusWithRetryAfter(u16, Duration),
    /// A [`Status`](Self::Status) with a `Retry-After` that is a date: this much later than the receiver's
    /// clock, which is an hour fast. Over HTTP only.
    StatusWithRetryDate(u16, Duration),
    /// A [`Status`](Self::Status) with this message.
    StatusWithMessage(u16, String),
    /// Accepts all records, and responds with status 200 (over gRPC: `OK`) and this body.
    Body200(Vec<u8>),
    /// Keeps no record, and responds with a page of HTML with status 200 and without gRPC.
    Page,
    /// Rejects the last `rejected` spans, data points or log records.
    PartialSuccess { rejected: i64, message: String },
    /// Responds with status 307 and this location.
    Redirect(String),
    /// Reads the request and never responds.
    Hang,
    /// Responds with status 200 and the headers of OTLP, and never with a body.
    StopMidway,
    /// Reads the request and closes the connection without a response.
    CloseMidway,
}

impl MockResponse {
    /// Returns whether the receiver keeps the records of the request.
    pub(super) fn accepts_records(&self) -> bool {
        match self {
            Self::Accept | Self::Body200(_) | Self::PartialSuccess { .. } => true,
            Self::Status(status)
            | Self::StatusWithRetryAfter(status, _)
            | Self::StatusWithRetryDate(status, _)
            | Self::StatusWithMessage(status, _) => (200..300).contains(status),
            Self::Page | Self::Redirect(_) | Self::Hang | Self::StopMidway | Self::CloseMidway => {
                false
            }
        }
    }
}
