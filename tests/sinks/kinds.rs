//! Closures, `()`, `Option` and `Arc` as sinks; events outside of their stack.

use std::sync::Arc;

use codex_telemetry::{Event, Interest, Outcome, Sink, TimingLayer};

use crate::{checked::MemorySink, support::*};

#[test]
fn a_closure_receives_every_event() {
    let (sender, events) = std::sync::mpsc::channel();
    Harness::new(move |event: Event| sender.send(event).expect("the receiver exists"))
        .turn(Outcome::Error);
    let events: Vec<_> = events.into_iter().collect();
    assert_eq!(names(&events), ["codex.turn.start", "codex.turn.exception"]);
}

#[test]
fn unit_is_a_disabled_sink() {
    assert_eq!(().interest(), Interest::NONE);
    Harness::new(()).turn(Outcome::Ok);
}

#[test]
fn none_is_disabled_and_some_is_the_sink_in_it() {
    assert_eq!(None::<MemorySink>.interest(), Interest::NONE);
    assert_eq!(Some(()).interest(), Interest::NONE);
    let sink = MemorySink::new();
    assert_eq!(Some(sink.clone()).interest(), Interest::ALL);
    Harness::new(Some(sink.clone())).turn(Outcome::Ok);
    assert_eq!(sink.take().len(), 2);

    // A disabled sink may receive events, for example in a fan-out with an enabled one.
    let memory = MemorySink::new();
    Harness::new(memory.clone()).turn(Outcome::Ok);
    None::<MemorySink>.emit(memory.take().remove(0));
}

#[test]
fn an_arc_of_a_trait_object_is_a_sink() {
    let memory = MemorySink::new();
    for (shared, events) in [
        (Arc::new(memory.clone()) as Arc<dyn Sink>, 4),
        (Arc::new(()), 0),
    ] {
        assert_eq!(shared.interest().is_none(), events == 0);
        Harness::new(Arc::clone(&shared)).turn(Outcome::Ok);
        call_through(&TimingLayer::new(shared));
        assert_eq!(memory.take().len(), events);
    }
}

#[test]
fn events_can_be_sent_to_other_threads_and_outlive_their_stack() {
    fn assert_bounds<T: Send + Sync + Clone + 'static>(_: &T) {}

    let sink = MemorySink::new();
    Harness::new(sink.clone()).turn(Outcome::Ok);
    let events = sink.take();
    assert_bounds(&events);
    let names = std::thread::spawn(move || names(&events)).join();
    assert_eq!(
        names.expect("no panic"),
        ["codex.turn.start", "codex.turn.stop"]
    );
}

#[test]
fn debug_of_an_event_shows_the_name_and_the_outcome() {
    let sink = MemorySink::new();
    Harness::new(sink.clone()).call(turn().with_name("reviewer"), Outcome::Cancelled, |_| ());
    let [start, end] = &sink.take()[..] else {
        panic!("not two events");
    };
    let (start, end) = (format!("{start:?}"), format!("{end:?}"));
    assert!(start.contains("codex.turn.start") && start.contains("reviewer"));
    assert!(!start.contains("outcome"));
    assert!(end.contains("codex.turn.exception") && end.contains("Cancelled"));
}
