use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use pin_project_lite::pin_project;
use tokio::sync::mpsc;
use tower::{ServiceExt, util::Oneshot};
use tower_service::Service;

use super::{Progress, TurnRequest};

/// How much progress may wait for the reader before the turn waits.
const BUFFERED: usize = 64;

/// Runs a turn through any turn service, and returns a stream of its progress that ends with its result.
///
/// The turn runs while the stream is polled, through the layers of `service`. The call ends when the result
/// is ready. The stream replaces the request's own progress channel.
///
/// ```no_run
/// use codex_telemetry::turn::{TurnRequest, CodexExec, TurnUpdate, turn_stream};
/// use tokio_stream::StreamExt;
///
/// # async fn run() {
/// let mut turn = turn_stream(CodexExec::new(), TurnRequest::new("Say hi"));
/// while let Some(update) = turn.next().await {
///     match update {
///         TurnUpdate::Progress(progress) => eprintln!("{progress:?}"),
///         TurnUpdate::Done(Ok(turn)) => println!("{:?}", turn.final_message),
///         TurnUpdate::Done(Err(error)) => eprintln!("{error}"),
///     }
/// }
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropping the stream cancels the turn.
pub fn turn_stream<S>(service: S, request: TurnRequest) -> TurnStream<S>
where
    S: Service<TurnRequest>,
{
    let (sender, progress) = mpsc::channel(BUFFERED);
    TurnStream {
        turn: Some(service.oneshot(request.with_progress(sender))),
        progress,
        result: None,
    }
}

/// An item of a [`TurnStream`].
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a turn and its error are as large as progress"
)]
pub enum TurnUpdate<T, E> {
    /// Progress of the turn.
    Progress(Progress),
    /// The result of the turn. It ends the stream.
    Done(Result<T, E>),
}

pin_project! {
    /// The stream that [`turn_stream`] returns.
    #[must_use = "streams do nothing unless polled"]
    #[project = StreamProjection]
    pub struct TurnStream<S>
    where
        S: Service<TurnRequest>,
    {
        // `None` once the turn has ended: its resources are freed then, not with the stream.
        #[pin]
        turn: Option<Oneshot<S, TurnRequest>>,
        progress: mpsc::Receiver<Progress>,
        result: Option<Result<S::Response, S::Error>>,
    }
}

impl<S> Stream for TurnStream<S>
where
    S: Service<TurnRequest>,
{
    type Item = TurnUpdate<S::Response, S::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        if let Some(turn) = this.turn.as_mut().as_pin_mut() {
            // The channel is polled first, so that it has the waker when the turn sends progress below.
            if let Poll::Ready(Some(progress)) = this.progress.poll_recv(cx) {
                return Poll::Ready(Some(TurnUpdate::Progress(progress)));
            }
            match turn.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(result) => {
                    *this.result = Some(result);
                    this.turn.set(None);
                }
            }
        }
        // The turn sends nothing more. A layer may keep a clone of the request, which keeps the channel
        // open, so the end of the channel is not waited for.
        match this.progress.try_recv() {
            Ok(progress) => Poll::Ready(Some(TurnUpdate::Progress(progress))),
            Err(_) => Poll::Ready(this.result.take().map(TurnUpdate::Done)),
        }
    }
}

impl<S: Service<TurnRequest>> fmt::Debug for TurnStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnStream")
            .field("running", &self.turn.is_some())
            .finish_non_exhaustive()
    }
}
