use std::{
    convert::Infallible,
    future::{Future, pending, ready},
    sync::Arc,
    time::Duration,
};

use codex_telemetry::{
    BoxError, Outcome, TimingLayer,
    attachment::{CleanupRequest, CleanupService, Sweeper},
    event::Operation,
};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use tokio_test::{assert_pending, task};
use tower::{Service, ServiceBuilder, service_fn};

use crate::{
    checked::MemorySink,
    support::{EXPIRED, Fixture},
};

const MINUTE: Duration = Duration::from_secs(60);

/// Returns a service that reports the time of each call and responds with `respond`.
fn reporting<F, T, E>(
    mut respond: impl FnMut() -> F + Send + 'static,
) -> (
    impl Service<CleanupRequest, Error = E, Future: Send> + Send + 'static,
    mpsc::UnboundedReceiver<Instant>,
)
where
    F: Future<Output = Result<T, E>> + Send,
{
    let (sender, receiver) = mpsc::unbounded_channel();
    let service = service_fn(move |_| {
        // Fails once a test has received enough calls.
        let _ = sender.send(Instant::now());
        respond()
    });
    (service, receiver)
}

#[tokio::test(start_paused = true)]
async fn the_sweeper_sweeps_at_once_and_then_every_period() {
    let (service, mut calls) = reporting(|| ready(Ok::<_, Infallible>(())));
    let start = Instant::now();
    let sweeper = Sweeper::spawn(service, MINUTE);
    for minute in 0..4 {
        assert_eq!(calls.recv().await.unwrap() - start, minute * MINUTE);
    }
    sweeper.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sweep_longer_than_the_period_delays_the_next_one() {
    let (service, mut calls) = reporting(|| async {
        tokio::time::sleep(3 * MINUTE).await;
        Ok::<_, Infallible>(())
    });
    let start = Instant::now();
    let _sweeper = Sweeper::spawn(service, MINUTE);
    for sweep in 0..3 {
        assert_eq!(calls.recv().await.unwrap() - start, sweep * 3 * MINUTE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_sweep_does_not_end_the_sweeper() {
    let (service, mut calls) = reporting(|| ready(Err::<(), BoxError>("no".into())));
    let sweeper = Sweeper::spawn(service, MINUTE);
    for _ in 0..3 {
        calls.recv().await.unwrap();
    }
    sweeper.stop().await;
    assert_eq!(calls.recv().await, None, "the service is dropped");
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_the_active_sweep_and_starts_no_other() {
    let finish = Arc::new(Notify::new());
    let notified = Arc::clone(&finish);
    let (service, mut calls) = reporting(move || {
        let notified = Arc::clone(&notified);
        async move {
            notified.notified().await;
            Ok::<_, Infallible>(())
        }
    });
    let sweeper = Sweeper::spawn(service, MINUTE);
    calls.recv().await.unwrap();
    let mut stop = task::spawn(sweeper.stop());
    assert_pending!(stop.poll());
    tokio::time::advance(10 * MINUTE).await;
    assert_pending!(stop.poll());
    finish.notify_one();
    stop.await;
    assert_eq!(calls.recv().await, None, "the service is dropped");
}

#[tokio::test(start_paused = true)]
async fn stopping_does_not_wait_for_a_service_that_is_never_ready() {
    struct Never;
    impl Service<CleanupRequest> for Never {
        type Response = ();
        type Error = Infallible;
        type Future = std::future::Ready<Result<(), Infallible>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Pending
        }

        fn call(&mut self, _: CleanupRequest) -> Self::Future {
            unreachable!("it was never ready")
        }
    }
    let sweeper = Sweeper::spawn(Never, MINUTE);
    tokio::time::advance(10 * MINUTE).await;
    sweeper.stop().await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_sweeper_cancels_the_active_sweep() {
    let (service, mut calls) = reporting(pending::<Result<(), Infallible>>);
    let sweeper = Sweeper::spawn(service, MINUTE);
    calls.recv().await.unwrap();
    drop(sweeper);
    assert_eq!(calls.recv().await, None, "the service is dropped");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stop_cancels_the_active_sweep() {
    let (service, mut calls) = reporting(pending::<Result<(), Infallible>>);
    let sweeper = Sweeper::spawn(service, MINUTE);
    calls.recv().await.unwrap();
    let stopped = tokio::time::timeout(MINUTE, sweeper.stop()).await;
    assert!(stopped.is_err());
    assert_eq!(calls.recv().await, None, "the service is dropped");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "in the service")]
async fn stopping_resumes_a_panic_of_the_service() {
    let (service, mut calls) = reporting(|| async {
        if true {
            panic!("in the service")
        } else {
            Ok::<_, Infallible>(())
        }
    });
    let sweeper = Sweeper::spawn(service, MINUTE);
    calls.recv().await.unwrap();
    assert_eq!(calls.recv().await, None);
    sweeper.stop().await;
}

#[tokio::test]
async fn the_sweeper_sweeps_a_store_through_the_layers() {
    let fixture = Fixture::new();
    fixture.stage("a", EXPIRED).await;
    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .layer(TimingLayer::new(sink.clone()))
        .service(CleanupService::new(fixture.store.clone()));
    let sweeper = Sweeper::spawn(service, MINUTE);
    sink.wait_for(2, MINUTE).await.unwrap();
    sweeper.stop().await;
    assert_eq!(
        sink.find(Operation::AttachmentCleanup, Outcome::Ok).len(),
        1
    );
    assert!(fixture.files().is_empty());
}
