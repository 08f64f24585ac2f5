//! A sink that panics is detached, and the calls continue unchanged.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use codex_telemetry::{Event, EventKind, FanOut, Interest, Outcome, Sink, TimingLayer};
use tokio_test::task::spawn;
use tower::{Layer, Service};

use crate::checked::{Checked, Fault, MemorySink};
use crate::support::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Method {
    Interest,
    Start,
    End,
}

/// A sink that panics in one method, and counts its events.
#[derive(Clone)]
struct Fragile {
    at: Method,
    emitted: Arc<AtomicUsize>,
    payload: fn(),
}

impl Fragile {
    fn at(at: Method) -> Self {
        Self {
            at,
            emitted: Arc::default(),
            payload: || panic!("the sink"),
        }
    }

    fn emitted(&self) -> usize {
        self.emitted.load(Relaxed)
    }
}

impl Sink for Fragile {
    fn emit(&self, event: Event) {
        self.emitted.fetch_add(1, Relaxed);
        let now = match event.kind() {
            EventKind::Start => Method::Start,
            EventKind::Stop | EventKind::Exception => Method::End,
        };
        if now == self.at {
            (self.payload)();
        }
    }

    fn interest(&self) -> Interest {
        if self.at == Method::Interest {
            (self.payload)();
        }
        Interest::ALL
    }
}

/// Checks `sink`, which gets no end if it panics on the start.
fn checked(sink: Fragile) -> Checked<Fragile> {
    let at = sink.at;
    let checked = Checked::over(sink);
    match at {
        Method::Start => checked.expecting(Fault::Open),
        Method::Interest | Method::End => checked,
    }
}

#[test]
fn a_sink_that_panics_gets_no_more_events_and_the_calls_continue() {
    for (at, emitted) in [(Method::Interest, 0), (Method::Start, 1), (Method::End, 2)] {
        let sink = checked(Fragile::at(at));
        let layer = TimingLayer::new(sink.clone());
        assert_eq!(call(layer.layer(answers()), request()), Ok(42), "{at:?}");
        assert_eq!(sink.emitted(), emitted, "{at:?}");

        let off = shows(|context| assert!(!context.is_recording(), "{at:?}"));
        assert_eq!(call(layer.layer(off), request()), Ok(42));
        assert_eq!(call(layer.layer(refuses()), request()), Err(Refused));
        assert_eq!(sink.emitted(), emitted, "{at:?}");
    }
}

#[test]
fn a_sink_that_panics_on_a_cancellation_does_not_panic_the_drop() {
    let sink = checked(Fragile::at(Method::End));
    let mut service = TimingLayer::new(sink.clone()).layer(hangs());
    drop(spawn(service.call(request())));
    assert_eq!(sink.emitted(), 2);
}

#[test]
fn a_sink_that_panics_during_another_panic_does_not_replace_it() {
    let sink = checked(Fragile::at(Method::End));
    let mut service = TimingLayer::new(sink.clone()).layer(panics_in_call());
    assert_eq!(panic_of(|| service.call(request())), "in call");
    assert_eq!(sink.emitted(), 2);

    let sink = checked(Fragile::at(Method::End));
    let mut service = TimingLayer::new(sink.clone()).layer(hangs());
    let text = panic_of(|| {
        let _waiting = spawn(service.call(request()));
        panic!("elsewhere");
    });
    assert_eq!(text, "elsewhere");
    assert_eq!(sink.emitted(), 2);
}

#[test]
fn a_payload_that_panics_when_dropped_does_not_reach_the_caller() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the payload");
        }
    }

    for at in [Method::Interest, Method::Start, Method::End] {
        let sink = checked(Fragile {
            payload: || std::panic::panic_any(Bomb),
            ..Fragile::at(at)
        });
        let service = TimingLayer::new(sink.clone()).layer(answers());
        assert_eq!(call(service, request()), Ok(42), "{at:?}");
    }
}

#[test]
fn a_sink_that_panics_in_a_fan_out_does_not_detach_the_others() {
    for at in [Method::Interest, Method::Start, Method::End] {
        let (before, after) = (MemorySink::new(), MemorySink::new());
        let fragile = Fragile::at(at);
        // `enabled` stops at the first sink that wants events, so the fragile one comes first too.
        let sink = FanOut::new()
            .with(fragile.clone())
            .with(before.clone())
            .with(fragile.clone())
            .with(after.clone());
        let layer = TimingLayer::new(sink);
        assert_eq!(call(layer.layer(answers()), request()), Ok(42));
        assert_eq!(call(layer.layer(refuses()), request()), Err(Refused));

        let wanted = [Outcome::Ok, Outcome::Error];
        assert_eq!(outcomes(&before), wanted, "{at:?}");
        assert_eq!(outcomes(&after), wanted, "{at:?}");
    }
}

#[test]
fn a_fan_out_whose_sinks_have_all_panicked_is_off() {
    let fan_out = FanOut::new().with(Fragile::at(Method::Start));
    let layer = TimingLayer::new(fan_out);
    assert_eq!(call(layer.layer(answers()), request()), Ok(42));
    let off = shows(|context| assert!(!context.is_recording()));
    assert_eq!(call(layer.layer(off), request()), Ok(42));
}
