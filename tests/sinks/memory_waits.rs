//! Waits of tasks for the events in a memory.

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

const PATIENCE: Duration = Duration::from_secs(20);

/// A runtime that is there for its clock alone, so that a test polls by hand.
fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime")
}

#[test]
fn a_waker_that_looks_into_the_sink_does_not_block() {
    struct Looks(MemorySink, AtomicUsize);
    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            self.1.fetch_max(self.0.events().len(), Relaxed);
        }
    }

    let runtime = runtime();
    let _inside = runtime.enter();
    let sink = MemorySink::new();
    let seen = Arc::new(Looks(sink.clone(), AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&seen));
    let mut wait = std::pin::pin!(sink.wait_for(1, PATIENCE));
    let mut cx = Context::from_waker(&waker);
    assert!(wait.as_mut().poll(&mut cx).is_pending());
    let (done, watch) = std::sync::mpsc::channel();
    // On a thread of its own, as the failure that this looks for is a call that never returns.
    let stage = Stage::new(sink.clone());
    std::thread::spawn(move || {
        stage.turn(Outcome::Ok);
        done.send(())
    });
    let woken = watch.recv_timeout(Duration::from_secs(20));
    woken.expect("the waker got to look");
    assert_eq!(seen.1.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_the_events_are_there() {
    let sink = MemorySink::new();
    let stage = Stage::new(sink.clone());
    let begun = Instant::now();
    let calls = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.turn(Outcome::Ok);
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.turn(Outcome::Ok);
    };
    let (events, ()) = tokio::join!(sink.wait_for(4, PATIENCE), calls);
    assert_eq!(events.expect("in time").len(), 4);
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_deadline_and_shows_the_timeline() {
    let sink = MemorySink::new();
    Stage::new(sink.clone()).turn(Outcome::Error);
    let begun = Instant::now();
    let error = sink.wait_for(3, Duration::from_secs(5)).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(5));

    let text = error.expect_err("there are two").to_string();
    assert!(text.starts_with("waited for 3 events, 2 came\n"), "{text}");
    assert!(text.contains("codex.turn") && text.contains("error"));
}

#[tokio::test(start_paused = true)]
async fn every_one_of_many_waiting_tasks_is_woken() {
    let sink = MemorySink::new();
    let waits = (1..=8).map(|n| {
        let sink = sink.clone();
        tokio::spawn(async move { sink.wait_for(n, PATIENCE).await.is_ok() })
    });
    let waits: Vec<_> = waits.collect();
    tokio::task::yield_now().await;
    let begun = Instant::now();
    let stage = Stage::new(sink);
    (0..4).for_each(|_| stage.turn(Outcome::Ok));
    for wait in waits {
        assert!(wait.await.expect("no panic"));
    }
    // A wait whose wake-up is lost ends at its deadline.
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[test]
fn a_wait_that_moves_to_another_task_wakes_the_newer_one() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let sink = MemorySink::new();
    let mut wait = Box::pin(sink.wait_for(2, PATIENCE));
    let mut older = tokio_test::task::spawn(std::future::poll_fn(|cx| wait.as_mut().poll(cx)));
    assert!(older.poll().is_pending());
    drop(older);
    let mut newer = tokio_test::task::spawn(wait);
    assert!(newer.poll().is_pending());

    Stage::new(sink.clone()).turn(Outcome::Ok);
    assert!(newer.is_woken());
    assert!(newer.poll().is_ready());
}

#[test]
fn a_wait_that_is_dropped_takes_nothing() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let sink = MemorySink::new();
    let mut wait = tokio_test::task::spawn(sink.wait_for(2, PATIENCE));
    assert!(wait.poll().is_pending());
    drop(wait);
    Stage::new(sink.clone()).turn(Outcome::Ok);
    assert_eq!(sink.events().len(), 2);
}
