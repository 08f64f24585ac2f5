use std::time::Duration;

/// How a [`Receiver`](super::Receiver) treats a request that it could decode.
///
/// A request to a wrong path, or whose body does not decode, is refused whatever the behaviour, and
/// uses up none of [`Receiver::behave_next`](super::Receiver::behave_next).
#[derive(Clone, Debug, Default)]
pub(crate) enum Behaviour {
    /// Takes everything.
    #[default]
    Accept,
    /// Answers with this HTTP status, or the gRPC code nearest to it. Takes the data if it is 2xx.
    Status(u16),
    /// As [`Status`](Self::Status), with `Retry-After` (whole seconds, rounded up) or `RetryInfo`.
    StatusWithRetryAfter(u16, Duration),
    /// Takes everything, and answers 200 (over gRPC: `OK`) with this in place of a response.
    Body200(Vec<u8>),
    /// Takes all but the last `rejected` spans, data points or log records, and says so.
    PartialSuccess {
        /// How many items are refused.
        rejected: i64,
        /// The reason given.
        message: String,
    },
    /// Answers 307 with this location.
    Redirect(String),
    /// Reads the request and never answers it.
    Hang,
    /// Reads the request and cuts the connection without an answer.
    CloseMidway,
}

impl Behaviour {
    /// Returns whether the data of a request treated so counts as received.
    pub(super) fn takes_data(&self) -> bool {
        match self {
            Self::Accept | Self::Body200(_) | Self::PartialSuccess { .. } => true,
            Self::Status(status) | Self::StatusWithRetryAfter(status, _) => {
                (200..300).contains(status)
            }
            Self::Redirect(_) | Self::Hang | Self::CloseMidway => false,
        }
    }
}
