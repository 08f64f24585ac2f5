//! A response whose body is a stream: with a guard in the body, the call ends with the body.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, UNIX_EPOCH},
};

use codex_telemetry::{
    BoxError, Call, CallGuard, Clock, CodexClassifier, ErrorClass, ManualClock, Operation, Outcome,
    TimingLayer,
};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneService};

use crate::support::*;

type Chunk = Result<&'static str, BoxError>;

/// A body whose chunks another task sends.
struct Body {
    chunks: mpsc::Receiver<Chunk>,
    guard: Option<CallGuard>,
}

impl Stream for Body {
    type Item = Chunk;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Chunk>> {
        let next = self.chunks.poll_recv(cx);
        match &next {
            Poll::Ready(None) => self.guard.take().into_iter().for_each(CallGuard::finish),
            Poll::Ready(Some(Err(error))) => {
                if let Some(guard) = self.guard.take() {
                    guard.fail(CodexClassifier.of(&**error));
                }
            }
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        next
    }
}

type Streaming = BoxCloneService<Call<mpsc::Receiver<Chunk>>, Body, BoxError>;

fn streaming(sink: &MemorySink) -> (Streaming, ManualClock) {
    let (clock, manual) = Clock::manual(UNIX_EPOCH);
    let service = ServiceBuilder::new()
        .layer(TimingLayer::with_clock(sink.clone(), clock))
        .service_fn(|call: Call<mpsc::Receiver<Chunk>>| async move {
            let guard = Some(call.context.keep_open());
            Ok::<_, BoxError>(Body {
                chunks: call.request,
                guard,
            })
        });
    (BoxCloneService::new(service), manual)
}

/// The body of a new call, and the sender of its chunks.
async fn body(service: Streaming) -> (Body, mpsc::Sender<Chunk>) {
    let (sender, chunks) = mpsc::channel(8);
    let answer = service.oneshot(Call::new(Operation::Turn, chunks)).await;
    (answer.expect("the service answers"), sender)
}

#[tokio::test]
async fn a_call_ends_with_its_body_and_its_duration_includes_the_body() {
    let sink = MemorySink::new();
    let (service, manual) = streaming(&sink);
    let (mut body, sender) = body(service).await;
    manual.advance(Duration::from_secs(2));
    sender.send(Ok("to be")).await.expect("the body lives");
    assert_eq!(body.next().await.and_then(Result::ok), Some("to be"));
    assert_eq!(sink.events().len(), 1, "the call is open");

    manual.advance(Duration::from_secs(3));
    drop(sender);
    assert!(body.next().await.is_none());
    let end = only(&sink);
    assert_eq!(end.outcome(), Some(Outcome::Ok));
    assert_eq!(end.duration(), Some(Duration::from_secs(5)));
}

#[tokio::test]
async fn a_body_that_is_dropped_before_its_end_cancels_the_call() {
    let sink = MemorySink::new();
    let (body, _sender) = body(streaming(&sink).0).await;
    assert_eq!(sink.events().len(), 1, "the call is open");
    drop(body);
    assert_eq!(only(&sink).outcome(), Some(Outcome::Cancelled));
}

#[tokio::test]
async fn a_body_that_fails_fails_the_call() {
    let sink = MemorySink::new();
    let (mut body, sender) = body(streaming(&sink).0).await;
    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    sender
        .send(Err(reset.into()))
        .await
        .expect("the body lives");
    assert!(body.next().await.is_some_and(|chunk| chunk.is_err()));
    let end = only(&sink);
    assert_eq!(end.outcome(), Some(Outcome::Error));
    assert_eq!(end.error_class(), Some(ErrorClass::Transport));
}
