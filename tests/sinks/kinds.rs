//! What can be a sink: a closure, nothing, perhaps one, a shared one.

use std::sync::Arc;

use codex_telemetry::{Event, Outcome, Sink, TimingLayer};

use crate::{checked::MemorySink, support::*};

#[test]
fn a_closure_takes_every_event() {
    let (sender, events) = std::sync::mpsc::channel();
    Stage::new(move |event: Event| sender.send(event).expect("the test listens"))
        .turn(Outcome::Error);
    let events: Vec<_> = events.into_iter().collect();
    assert_eq!(names(&events), ["codex.turn.start", "codex.turn.exception"]);
}

#[test]
fn nothing_is_a_sink_that_is_off() {
    assert!(!().enabled());
    Stage::new(()).turn(Outcome::Ok);
}

#[test]
fn none_is_off_and_some_is_the_sink_in_it() {
    assert!(!None::<MemorySink>.enabled());
    assert!(!Some(()).enabled());
    let sink = MemorySink::new();
    assert!(Some(sink.clone()).enabled());
    Stage::new(Some(sink.clone())).turn(Outcome::Ok);
    assert_eq!(sink.take().len(), 2);

    // An event may reach a sink that is off, beside one that is on.
    let memory = MemorySink::new();
    Stage::new(memory.clone()).turn(Outcome::Ok);
    None::<MemorySink>.emit(memory.take().remove(0));
}

#[test]
fn a_sink_chosen_at_run_time_can_be_shared() {
    let memory = MemorySink::new();
    for (shared, events) in [
        (Arc::new(memory.clone()) as Arc<dyn Sink>, 4),
        (Arc::new(()), 0),
    ] {
        assert_eq!(shared.enabled(), events > 0);
        Stage::new(Arc::clone(&shared)).turn(Outcome::Ok);
        answer(&TimingLayer::new(shared));
        assert_eq!(memory.take().len(), events);
    }
}

#[test]
fn events_go_to_other_threads_and_outlive_their_stack() {
    fn sent<T: Send + Sync + Clone + 'static>(_: &T) {}

    let sink = MemorySink::new();
    Stage::new(sink.clone()).turn(Outcome::Ok);
    let events = sink.take();
    sent(&events);
    let names = std::thread::spawn(move || names(&events)).join();
    assert_eq!(
        names.expect("no panic"),
        ["codex.turn.start", "codex.turn.stop"]
    );
}

#[test]
fn an_event_for_people_names_the_call_and_its_end() {
    let sink = MemorySink::new();
    Stage::new(sink.clone()).call(turn().with_name("reviewer"), Outcome::Cancelled, |_| ());
    let [start, end] = &sink.take()[..] else {
        panic!("not two events");
    };
    let (start, end) = (format!("{start:?}"), format!("{end:?}"));
    assert!(start.contains("codex.turn.start") && start.contains("reviewer"));
    assert!(!start.contains("outcome"));
    assert!(end.contains("codex.turn.exception") && end.contains("Cancelled"));
}
