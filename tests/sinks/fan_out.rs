//! Several sinks at once.

use std::sync::{Arc, Mutex};

use codex_telemetry::{Event, FanOut, Interest, Outcome, Sink, TimingLayer};

use crate::{
    checked::{Fault, MemorySink},
    support::*,
};

#[test]
fn every_sink_receives_every_event() {
    let [a, b] = [MemorySink::new(), MemorySink::new()];
    Harness::new(FanOut::new().with(a.clone()).with(b.clone())).turn(Outcome::Ok);
    assert_eq!(names(&a.take()), ["codex.turn.start", "codex.turn.stop"]);
    assert_eq!(names(&b.take()), ["codex.turn.start", "codex.turn.stop"]);
}

#[test]
fn sinks_receive_an_event_in_the_order_in_which_they_were_added() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let sink = |name: &'static str| {
        let order = Arc::clone(&order);
        move |_: Event| order.lock().expect("no panic").push(name)
    };
    let sinks = FanOut::new()
        .with(sink("a"))
        .with(sink("b"))
        .with(sink("c"));
    Harness::new(sinks).turn(Outcome::Ok);
    assert_eq!(*order.lock().expect("no panic"), ["a", "b", "c"].repeat(2));
}

#[test]
fn a_fan_out_is_enabled_if_any_of_its_sinks_is() {
    let interest = |sink: FanOut| sink.interest();
    assert_eq!(interest(FanOut::new()), Interest::NONE);
    let off = FanOut::new().with(()).with(None::<MemorySink>);
    assert_eq!(interest(off), Interest::NONE);
    let on = FanOut::new().with(()).with(MemorySink::new());
    assert_eq!(interest(on), Interest::ALL);
}

#[test]
fn a_fan_out_can_contain_another() {
    let sink = MemorySink::new()
        .expecting(Fault::TwoStarts)
        .expecting(Fault::TwoEnds);
    let inner = FanOut::new().with(sink.clone()).with(());
    let outer = FanOut::new().with(inner).with(sink.clone());
    call_through(&TimingLayer::new(outer));
    assert_eq!(sink.take().len(), 4);
}

#[test]
fn debug_prints_the_number_of_sinks() {
    let sink = FanOut::new().with(()).with(MemorySink::new());
    assert_eq!(format!("{sink:?}"), "FanOut { sinks: 2 }");
}
