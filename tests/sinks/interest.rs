//! A sink says which events it wants, and events that nobody wants are not made.

use std::sync::{Arc, Mutex};

use codex_telemetry::{
    Call, CallContext, Event, EventKind, FanOut, Interest, Operation, Outcome, Sink, TimingLayer,
};
use futures_util::FutureExt as _;
use tower::{Layer, Service, service_fn};

use crate::{
    checked::{Fault, MemorySink},
    support::*,
};

/// A sink that wants some events, and keeps the kinds of all that it gets.
#[derive(Clone)]
struct Wants {
    interest: Arc<Mutex<Interest>>,
    got: Arc<Mutex<Vec<EventKind>>>,
}

impl Wants {
    fn only(interest: Interest) -> Self {
        Self {
            interest: Arc::new(Mutex::new(interest)),
            got: Arc::default(),
        }
    }

    fn got(&self) -> Vec<EventKind> {
        std::mem::take(&mut self.got.lock().unwrap())
    }
}

impl Sink for Wants {
    fn emit(&self, event: Event) {
        self.got.lock().unwrap().push(event.kind());
    }

    fn interest(&self) -> Interest {
        *self.interest.lock().unwrap()
    }
}

const ALL: [Interest; 4] = [
    Interest::NONE,
    Interest::STARTS,
    Interest::ENDS,
    Interest::ALL,
];

/// Makes a turn, and returns what the sink got.
fn turn(interest: Interest, outcome: Outcome) -> Vec<EventKind> {
    let sink = Wants::only(interest);
    let mut harness = Harness::new(sink.clone());
    if interest == Interest::STARTS {
        harness = harness.expecting(Fault::Open);
    }
    harness.turn(outcome);
    sink.got()
}

/// Makes a call in which `part` runs.
fn call_with(sink: impl Sink + 'static, part: impl Fn(&CallContext)) {
    let service = service_fn(|call: Call<()>| {
        part(&call.context);
        std::future::ready(Ok::<_, ()>(()))
    });
    let mut service = TimingLayer::new(sink).layer(service);
    let answer = service.call(Call::new(Operation::Turn, ()));
    assert_eq!(answer.now_or_never(), Some(Ok(())));
}

#[test]
fn a_sink_gets_what_it_wants_alone() {
    for (interest, events) in [
        (Interest::NONE, &[][..]),
        (Interest::STARTS, &[EventKind::Start]),
        (Interest::ENDS, &[EventKind::Stop]),
        (Interest::ALL, &[EventKind::Start, EventKind::Stop]),
    ] {
        assert_eq!(turn(interest, Outcome::Ok), events, "{interest:?}");
    }
}

#[test]
fn the_end_of_a_failed_a_cancelled_and_a_panicking_call_is_an_end() {
    for outcome in [Outcome::Error, Outcome::Cancelled, Outcome::Panic] {
        let ends = turn(Interest::ENDS, outcome);
        assert_eq!(ends, [EventKind::Exception], "{outcome}");
        let starts = turn(Interest::STARTS, outcome);
        assert_eq!(starts, [EventKind::Start], "{outcome}");
    }
}

#[test]
fn a_call_is_open_whatever_its_sink_wants_unless_it_wants_nothing() {
    for interest in ALL {
        let sink = Wants::only(interest);
        call_with(sink.clone(), |context| {
            assert_eq!(context.is_recording(), !interest.is_none(), "{interest:?}");
        });
    }
}

#[test]
fn a_child_of_an_open_call_is_made_for_what_is_wanted_when_it_begins() {
    let sink = Wants::only(Interest::ENDS);
    let child = |context: &CallContext| {
        context.open_child(Operation::Tool, None, None).finish();
    };
    call_with(sink.clone(), child);
    assert_eq!(sink.got(), [EventKind::Stop; 2]);
    call_with(sink.clone(), |context| {
        *sink.interest.lock().unwrap() = Interest::STARTS;
        child(context);
        *sink.interest.lock().unwrap() = Interest::NONE;
        child(context);
    });
    // The turn was begun for its end.
    assert_eq!(sink.got(), [EventKind::Start, EventKind::Stop]);
}

#[test]
fn a_call_ends_for_what_its_sink_wanted_at_the_start() {
    for (before, after, events) in [
        (Interest::ENDS, Interest::NONE, &[EventKind::Stop][..]),
        (Interest::STARTS, Interest::ALL, &[EventKind::Start]),
    ] {
        let sink = Wants::only(before);
        call_with(sink.clone(), |_| *sink.interest.lock().unwrap() = after);
        assert_eq!(sink.got(), events, "{before:?}, then {after:?}");
    }
}

#[test]
fn a_fan_out_wants_what_any_of_its_sinks_wants() {
    for one in ALL {
        for other in ALL {
            let sink = FanOut::new()
                .with(Wants::only(one))
                .with(Wants::only(other));
            assert_eq!(sink.interest(), one | other);
        }
    }
}

#[test]
fn each_sink_of_a_fan_out_gets_each_event_once() {
    let (ends, memory) = (Wants::only(Interest::ENDS), MemorySink::new());
    let fan_out = FanOut::new().with(ends.clone()).with(memory.clone());
    Harness::new(fan_out).turn(Outcome::Ok);
    assert_eq!(ends.got(), [EventKind::Start, EventKind::Stop]);
    assert_eq!(memory.take().len(), 2);
}

#[test]
fn a_sink_that_takes_start_events_by_reference_gets_no_clone_of_them() {
    #[derive(Clone, Default)]
    struct Looks(Arc<Mutex<Vec<(&'static str, EventKind)>>>);
    impl Sink for Looks {
        fn emit(&self, event: Event) {
            self.0.lock().unwrap().push(("emit", event.kind()));
        }
        fn emit_start(&self, event: &Event) {
            self.0.lock().unwrap().push(("emit_start", event.kind()));
        }
    }
    let expected = [("emit_start", EventKind::Start), ("emit", EventKind::Stop)];
    let looks = Looks::default();
    Harness::new(looks.clone()).turn(Outcome::Ok);
    assert_eq!(std::mem::take(&mut *looks.0.lock().unwrap()), expected);
    // So do the sinks that pass events on.
    let shared: Arc<dyn Sink> = Arc::new(Some(FanOut::new().with(looks.clone())));
    Harness::new(shared).turn(Outcome::Ok);
    assert_eq!(*looks.0.lock().unwrap(), expected);
}

#[test]
fn an_interest_includes_the_events_that_it_names() {
    let memory = MemorySink::new();
    Harness::new(memory.clone()).turn(Outcome::Ok);
    let [start, end] = &memory.take()[..] else {
        panic!("a call has two events");
    };
    for interest in ALL {
        assert_eq!(interest.includes(start), interest.in_starts());
        assert_eq!(interest.includes(end), interest.in_ends());
    }
}
