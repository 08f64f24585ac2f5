//! `MemorySink::wait_for`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use codex_telemetry::Outcome;
use tokio::{
    runtime::{Builder, Runtime},
    time::Instant,
};

use crate::{checked::MemorySink, support::*};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Returns a runtime for its timer only; the test polls by hand.
fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime")
}

#[test]
fn a_waker_may_lock_the_sink() {
    struct ReadsSink(MemorySink, AtomicUsize);
    impl Wake for ReadsSink {
        fn wake(self: Arc<Self>) {
            self.1.fetch_max(self.0.events().len(), Relaxed);
        }
    }

    let runtime = runtime();
    let _inside = runtime.enter();
    let sink = MemorySink::new();
    let reader = Arc::new(ReadsSink(sink.clone(), AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&reader));
    let mut wait = std::pin::pin!(sink.wait_for(1, TIMEOUT));
    let mut cx = Context::from_waker(&waker);
    assert!(wait.as_mut().poll(&mut cx).is_pending());
    let (sender, receiver) = std::sync::mpsc::channel();
    // On another thread, because a failure of this test is a deadlock.
    let harness = Harness::new(sink.clone());
    std::thread::spawn(move || {
        harness.turn(Outcome::Ok);
        sender.send(())
    });
    let emitted = receiver.recv_timeout(Duration::from_secs(20));
    emitted.expect("no deadlock");
    assert_eq!(reader.1.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wait_returns_when_the_sink_holds_the_events() {
    let sink = MemorySink::new();
    let harness = Harness::new(sink.clone());
    let start = Instant::now();
    let calls = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        harness.turn(Outcome::Ok);
        tokio::time::sleep(Duration::from_secs(1)).await;
        harness.turn(Outcome::Ok);
    };
    let (events, ()) = tokio::join!(sink.wait_for(4, TIMEOUT), calls);
    assert_eq!(events.expect("four events").len(), 4);
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_wait_times_out_and_shows_the_timeline() {
    let sink = MemorySink::new();
    Harness::new(sink.clone()).turn(Outcome::Error);
    let start = Instant::now();
    let error = sink.wait_for(3, Duration::from_secs(5)).await;
    assert_eq!(start.elapsed(), Duration::from_secs(5));

    let text = error.expect_err("only two events").to_string();
    assert!(
        text.starts_with("timed out waiting for 3 events, got 2\n"),
        "{text}"
    );
    assert!(text.contains("codex.turn") && text.contains("error"));
}

#[tokio::test(start_paused = true)]
async fn all_waiting_tasks_are_woken() {
    let sink = MemorySink::new();
    let waits = (1..=8).map(|n| {
        let sink = sink.clone();
        tokio::spawn(async move { sink.wait_for(n, TIMEOUT).await.is_ok() })
    });
    let waits: Vec<_> = waits.collect();
    tokio::task::yield_now().await;
    let start = Instant::now();
    let harness = Harness::new(sink);
    (0..4).for_each(|_| harness.turn(Outcome::Ok));
    for wait in waits {
        assert!(wait.await.expect("no panic"));
    }
    // A wait whose wake-up is lost would time out.
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[test]
fn a_wait_that_moves_to_another_task_wakes_that_task() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let sink = MemorySink::new();
    let mut wait = Box::pin(sink.wait_for(2, TIMEOUT));
    let mut first = tokio_test::task::spawn(std::future::poll_fn(|cx| wait.as_mut().poll(cx)));
    assert!(first.poll().is_pending());
    drop(first);
    let mut second = tokio_test::task::spawn(wait);
    assert!(second.poll().is_pending());

    Harness::new(sink.clone()).turn(Outcome::Ok);
    assert!(second.is_woken());
    assert!(second.poll().is_ready());
}

#[test]
fn a_dropped_wait_removes_no_events() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let sink = MemorySink::new();
    let mut wait = tokio_test::task::spawn(sink.wait_for(2, TIMEOUT));
    assert!(wait.poll().is_pending());
    drop(wait);
    Harness::new(sink.clone()).turn(Outcome::Ok);
    assert_eq!(sink.events().len(), 2);
}
