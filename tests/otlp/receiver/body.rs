use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::{
    HeaderMap,
    body::{Body, Bytes, Frame},
};

/// A complete response body, with the trailers of gRPC.
#[derive(Debug, Default)]
pub(super) struct ReplyBody {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
    /// Never ends.
    is_stopped: bool,
}

impl ReplyBody {
    pub(super) fn new(data: impl Into<Bytes>) -> Self {
        Self {
            data: Some(data.into()).filter(|data: &Bytes| !data.is_empty()),
            ..Self::default()
        }
    }

    /// Returns a body that never comes.
    pub(super) fn stopped() -> Self {
        Self {
            is_stopped: true,
            ..Self::default()
        }
    }

    pub(super) fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = Some(trailers);
        self
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.is_stopped {
            return Poll::Pending;
        }
        let data = self.data.take().map(Frame::data);
        let frame = data.or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none() && !self.is_stopped
    }
}
