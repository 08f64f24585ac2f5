//! `MemorySink` and its blocking wait.

use std::{
    sync::{Arc, Barrier, mpsc},
    thread,
    time::Duration,
};

use codex_telemetry::{Call, Operation, Outcome};

use crate::{checked::MemorySink, support::*};

/// The timeout of the waits: longer than the test's own, so that a lost wake-up fails the test.
const WAIT_TIMEOUT: Duration = Duration::from_secs(3600);

/// Starts a thread for each of these waits on `sink`, and returns when all are about to wait. The
/// receiver gets the number of events that each wait returned.
fn blocking_waits(
    sink: &MemorySink,
    counts: std::ops::RangeInclusive<usize>,
) -> mpsc::Receiver<usize> {
    let (sender, receiver) = mpsc::channel();
    let barrier = Arc::new(Barrier::new(counts.clone().count() + 1));
    for count in counts {
        let (sink, sender) = (sink.clone(), sender.clone());
        let barrier = Arc::clone(&barrier);
        thread::spawn(move || {
            barrier.wait();
            let events = sink.blocking_wait_for(count, WAIT_TIMEOUT).map(|e| e.len());
            sender.send(events.unwrap_or_default())
        });
    }
    barrier.wait();
    // Lets the threads start to wait. A test that continues too early is weaker, but does not fail.
    (0..100).for_each(|_| thread::yield_now());
    receiver
}

/// Returns the number of events that the next wait returned.
fn next_result(waits: &mpsc::Receiver<usize>) -> usize {
    let count = waits.recv_timeout(Duration::from_secs(20));
    count.expect("a wait returns when the sink holds its events")
}

#[test]
fn clones_share_the_same_events() {
    let sink = MemorySink::new();
    let harness = Harness::new(sink.clone());
    harness.turn(Outcome::Ok);
    let names = names(&sink.clone().events());
    assert_eq!(names, ["codex.turn.start", "codex.turn.stop"]);
}

#[test]
fn take_empties_the_sink_and_events_does_not() {
    let sink = MemorySink::new();
    Harness::new(sink.clone()).turn(Outcome::Ok);
    assert_eq!(sink.events().len(), 2);
    assert_eq!(sink.take().len(), 2);
    assert!(sink.take().is_empty() && sink.events().is_empty());
}

#[test]
fn find_returns_the_terminal_events_with_an_operation_and_an_outcome() {
    let sink = MemorySink::new();
    let harness = Harness::new(sink.clone());
    let tool = || Call::new(Operation::Tool, ());
    harness.turn(Outcome::Ok);
    harness.turn(Outcome::Error);
    harness.call(tool().with_name("a"), Outcome::Error, |_| ());
    harness.call(tool().with_name("b"), Outcome::Error, |_| ());
    harness.call(tool(), Outcome::Cancelled, |_| ());

    let found = sink.find(Operation::Tool, Outcome::Error);
    let found: Vec<_> = found.iter().map(|event| event.call_name()).collect();
    assert_eq!(found, [Some("a"), Some("b")]);
    assert_eq!(sink.find(Operation::Turn, Outcome::Ok).len(), 1);
    assert!(sink.find(Operation::Turn, Outcome::Panic).is_empty());
    assert_eq!(sink.events().len(), 10, "find removes nothing");
}

#[test]
fn a_blocking_wait_returns_when_another_thread_emits_the_events() {
    let sink = MemorySink::new();
    let harness = Harness::new(sink.clone());
    let waits = blocking_waits(&sink, 4..=4);
    harness.turn(Outcome::Ok);
    assert!(waits.try_recv().is_err(), "two events are not four");
    harness.turn(Outcome::Error);
    assert_eq!(next_result(&waits), 4);
}

#[test]
fn all_waiting_threads_are_woken() {
    let sink = MemorySink::new();
    let harness = Harness::new(sink.clone());
    let waits = blocking_waits(&sink, 1..=8);
    (0..4).for_each(|_| harness.turn(Outcome::Ok));
    for _ in 0..8 {
        assert!((1..=8).contains(&next_result(&waits)));
    }
}

#[test]
fn a_wait_for_events_that_exist_returns_at_once() {
    let sink = MemorySink::new();
    Harness::new(sink.clone()).turn(Outcome::Ok);
    let events = sink
        .blocking_wait_for(2, Duration::ZERO)
        .expect("two events");
    assert_eq!(events.len(), 2);
    assert!(sink.blocking_wait_for(0, Duration::ZERO).is_ok());
}

#[test]
fn a_wait_that_times_out_shows_the_timeline() {
    let sink = MemorySink::new();
    Harness::new(sink.clone()).turn(Outcome::Ok);
    let error = sink.blocking_wait_for(3, Duration::ZERO);
    let error = error.expect_err("only two events");
    let text = error.to_string();
    assert!(
        text.starts_with("timed out waiting for 3 events, got 2\n"),
        "{text}"
    );
    assert!(text.ends_with(&sink.timeline().to_string()), "{text}");
    assert_eq!(format!("{error:?}"), text, "`Debug` is the same text");
}

#[test]
fn debug_prints_the_number_of_events() {
    let sink = MemorySink::new();
    assert_eq!(format!("{sink:?}"), "MemorySink { events: 0 }");
    Harness::new(sink.clone()).turn(Outcome::Ok);
    assert_eq!(format!("{sink:?}"), "MemorySink { events: 2 }");
}
