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
/// is ready. The stream replaces the request's own progress channel. It is `Unpin` if the future of the service is, as
/// those of the crate's services are; pin another one first, such as by `std::pin::pin!`.
///
/// ```
/// use codex_telemetry::turn::{Progress, Turn, TurnError, TurnRequest, TurnUpdate, turn_stream};
/// use tokio_stream::StreamExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let turns = tower::service_fn(|request: TurnRequest| async move {
/// #     let progress = request.progress().cloned().expect("a stream reads the progress");
/// #     progress.send(Progress::TurnStarted).await.expect("the stream is polled");
/// #     Ok::<_, TurnError>(Turn::new().with_final_message("hi"))
/// # });
/// // `turns` is a `CodexExec`, a `CodexAppServer`, or a stack of layers around one.
/// let mut updates = std::pin::pin!(turn_stream(turns, TurnRequest::new("Say hi")));
/// let mut said = Vec::new();
/// while let Some(update) = updates.next().await {
///     said.push(match update {
///         TurnUpdate::Progress(progress) => format!("{progress:?}"),
///         TurnUpdate::Done(Ok(turn)) => turn.final_message.unwrap_or_default(),
///         TurnUpdate::Done(Err(error)) => error.to_string(),
///     });
/// }
/// assert_eq!(said, ["TurnStarted", "hi"]);
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
///
/// ```
/// use codex_telemetry::turn::{Progress, Turn, TurnError, TurnUpdate};
///
/// /// The event of a stream of server-sent events.
/// fn event(update: &TurnUpdate<Turn, TurnError>) -> &'static str {
///     match update {
///         TurnUpdate::Progress(_) => "progress",
///         TurnUpdate::Done(Ok(_)) => "done",
///         TurnUpdate::Done(Err(_)) => "failed",
///     }
/// }
///
/// assert_eq!(event(&TurnUpdate::Progress(Progress::TurnStarted)), "progress");
/// assert_eq!(event(&TurnUpdate::Done(Ok(Turn::new()))), "done");
/// assert_eq!(event(&TurnUpdate::Done(Err(TurnError::failed("stopped")))), "failed");
/// ```
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
    ///
    /// ```
    /// use codex_telemetry::{
    ///     MemorySink, Operation, Outcome, TimingLayer,
    ///     turn::{Turn, TurnError, TurnRequest, TurnStream, turn_stream},
    /// };
    /// use tokio_stream::StreamExt;
    /// use tower::{Layer, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let sink = MemorySink::new();
    /// let turns = TimingLayer::new(sink.clone()).layer(service_fn(|_: TurnRequest| {
    ///     std::future::pending::<Result<Turn, TurnError>>()
    /// }));
    /// let mut updates: TurnStream<_> = turn_stream(turns, TurnRequest::new("Say hi"));
    /// tokio::select! {
    ///     biased;
    ///     _ = updates.next() => unreachable!("the turn hangs"),
    ///     () = std::future::ready(()) => {} // The reader goes away.
    /// }
    /// drop(updates);
    /// assert_eq!(sink.find(Operation::Turn, Outcome::Cancelled).len(), 1);
    /// # }
    /// ```
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
