//! The sink that keeps events for tests.

use std::{
    sync::{Arc, Barrier, mpsc},
    thread,
    time::Duration,
};

use codex_telemetry::{Call, Operation, Outcome};

use crate::{checked::MemorySink, support::*};

/// How long the waits of the tests may take: longer than a test waits for them, so that a wake-up that
/// is lost is seen, and not mended by the deadline.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Starts a thread for each of these waits on `sink`, and returns once all are about to wait. The
/// receiver gets how many events each has seen.
fn blocking_waits(
    sink: &MemorySink,
    counts: std::ops::RangeInclusive<usize>,
) -> mpsc::Receiver<usize> {
    let (seen, receiver) = mpsc::channel();
    let at_the_door = Arc::new(Barrier::new(counts.clone().count() + 1));
    for count in counts {
        let (sink, seen) = (sink.clone(), seen.clone());
        let door = Arc::clone(&at_the_door);
        thread::spawn(move || {
            door.wait();
            let events = sink.blocking_wait_for(count, PATIENCE).map(|e| e.len());
            seen.send(events.unwrap_or_default())
        });
    }
    at_the_door.wait();
    // They are about to wait, and this lets them; a test that comes too early proves less, no more.
    (0..100).for_each(|_| thread::yield_now());
    receiver
}

/// How many events a wait has seen that must be over by now.
fn over(waits: &mpsc::Receiver<usize>) -> usize {
    let seen = waits.recv_timeout(Duration::from_secs(20));
    seen.expect("a wait is over once its events are there")
}

#[test]
fn clones_share_their_events() {
    let sink = MemorySink::new();
    let stage = Stage::new(sink.clone());
    stage.turn(Outcome::Ok);
    let names = names(&sink.clone().events());
    assert_eq!(names, ["codex.turn.start", "codex.turn.stop"]);
}

#[test]
fn take_leaves_the_sink_empty_and_events_does_not() {
    let sink = MemorySink::new();
    Stage::new(sink.clone()).turn(Outcome::Ok);
    assert_eq!(sink.events().len(), 2);
    assert_eq!(sink.take().len(), 2);
    assert!(sink.take().is_empty() && sink.events().is_empty());
}

#[test]
fn find_returns_the_terminal_events_of_one_operation_and_one_outcome() {
    let sink = MemorySink::new();
    let stage = Stage::new(sink.clone());
    let tool = || Call::new(Operation::Tool, ());
    stage.turn(Outcome::Ok);
    stage.turn(Outcome::Error);
    stage.call(tool().with_name("a"), Outcome::Error, |_| ());
    stage.call(tool().with_name("b"), Outcome::Error, |_| ());
    stage.call(tool(), Outcome::Cancelled, |_| ());

    let found = sink.find(Operation::Tool, Outcome::Error);
    let found: Vec<_> = found.iter().map(|event| event.call_name()).collect();
    assert_eq!(found, [Some("a"), Some("b")]);
    assert_eq!(sink.find(Operation::Turn, Outcome::Ok).len(), 1);
    assert!(sink.find(Operation::Turn, Outcome::Panic).is_empty());
    assert_eq!(sink.events().len(), 10, "what was found stays");
}

#[test]
fn a_blocking_wait_ends_when_another_thread_brings_the_events() {
    let sink = MemorySink::new();
    let stage = Stage::new(sink.clone());
    let waits = blocking_waits(&sink, 4..=4);
    stage.turn(Outcome::Ok);
    assert!(waits.try_recv().is_err(), "two events are not four");
    stage.turn(Outcome::Error);
    assert_eq!(over(&waits), 4);
}

#[test]
fn every_one_of_many_waiting_threads_is_woken() {
    let sink = MemorySink::new();
    let stage = Stage::new(sink.clone());
    let waits = blocking_waits(&sink, 1..=8);
    (0..4).for_each(|_| stage.turn(Outcome::Ok));
    for _ in 0..8 {
        assert!((1..=8).contains(&over(&waits)));
    }
}

#[test]
fn a_wait_for_what_is_there_already_needs_no_time() {
    let sink = MemorySink::new();
    Stage::new(sink.clone()).turn(Outcome::Ok);
    let events = sink.blocking_wait_for(2, Duration::ZERO).expect("there");
    assert_eq!(events.len(), 2);
    assert!(sink.blocking_wait_for(0, Duration::ZERO).is_ok());
}

#[test]
fn a_wait_in_vain_says_what_came_as_a_timeline() {
    let sink = MemorySink::new();
    Stage::new(sink.clone()).turn(Outcome::Ok);
    let error = sink.blocking_wait_for(3, Duration::ZERO);
    let error = error.expect_err("there are two");
    let text = error.to_string();
    assert!(text.starts_with("waited for 3 events, 2 came\n"), "{text}");
    assert!(text.ends_with(&sink.timeline().to_string()), "{text}");
    assert_eq!(format!("{error:?}"), text, "`unwrap` shows it as well");
}
