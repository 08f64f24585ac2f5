use std::{
    convert::Infallible,
    fmt,
    future::{Future, ready},
    pin::pin,
    task::{Context, Waker},
    thread,
};

use tower::{Layer, Service, service_fn};

use super::*;
use crate::{
    call::{Call, CallContext},
    event::{Classification, ErrorClass, Event, Operation, Originator, names},
    sink::MemorySink,
    timing::TimingLayer,
};

fn empty() -> (Own, Shared) {
    (Own(Vec::new()), Shared(Mutex::default()))
}

fn shared_len(shared: &Shared) -> usize {
    shared.0.lock().unwrap().len()
}

fn address(record: &RecordHandle) -> *const Record {
    RecordHandle::as_ptr(record)
}

/// Makes a call that has all that a record can hold, and returns its events.
fn events() -> Vec<Event> {
    let sink = MemorySink::capturing_content();
    let service = service_fn(|call: Call<()>| {
        let context = call.context;
        context.record("key", "value");
        context.record_content(names::INPUT_MESSAGES, || "a prompt".to_owned());
        context.add_event("an event");
        context.classify(Classification::of(ErrorClass::Timeout, &fmt::Error));
        context.record_thread_id("another thread");
        ready(Err::<(), _>(()))
    });
    let mut service = TimingLayer::new(sink.clone()).layer(service);
    let context = CallContext::new()
        .with_thread_id("a thread")
        .with_originator(Originator::named("bot").unwrap());
    let request = Call::new(Operation::Turn, ()).with_name("an agent".to_owned());
    let answer = pin!(service.call(request.with_context(context)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(answer.poll(&mut cx).is_ready());
    sink.take()
}

/// Runs a test on a thread of its own, whose pool nobody else uses.
fn on_a_thread(test: impl FnOnce() + Send) {
    thread::scope(|scope| scope.spawn(test).join()).unwrap();
}

#[test]
fn the_record_of_a_call_is_used_for_the_next_one() {
    on_a_thread(|| {
        let events = events();
        let first = address(events[0].handle());
        drop(events);
        assert_eq!(address(&take()), first);
    });
}

#[test]
fn a_record_that_somebody_holds_is_not_used_again() {
    on_a_thread(|| {
        let mut events = events();
        let kept = events.remove(0);
        drop(events);
        assert_ne!(address(&take()), address(kept.handle()));
        assert_eq!(kept.call_name(), Some("an agent"));
    });
}

#[test]
fn a_record_that_is_kept_has_nothing_of_its_call() {
    on_a_thread(|| {
        drop(events());
        let mut record = take();
        let record = RecordHandle::get_mut(&mut record).expect("the only handle");
        assert!(record.is_plain());
        assert!(record.name.is_none() && record.ids.is_none());
        assert!(record.originator.is_none() && record.agent.is_none());
        let open = record.open_mut();
        assert!(open.emitter.is_none() && open.annotations().is_none());
        // The list for the next call is one of an earlier call, and has to be empty.
        let next = open.annotate();
        assert!(next.attributes.as_slice().is_empty() && next.content.is_none());
        assert!(next.classification.is_none() && next.ids.is_none());
        assert!(next.span_events.is_empty());
    });
}

#[test]
fn a_call_that_uses_a_record_again_has_only_its_own_annotations() {
    on_a_thread(|| {
        drop(events());
        let sink = MemorySink::new();
        let service = service_fn(|_: Call<()>| ready(Ok::<_, Infallible>(())));
        let mut service = TimingLayer::new(sink.clone()).layer(service);
        let answer = pin!(service.call(Call::new(Operation::Tool, ())));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(answer.poll(&mut cx).is_ready());
        let end = sink.take().remove(1);
        assert_eq!((end.attributes(), end.content()), (&[][..], &[][..]));
        assert_eq!((end.call_name(), end.agent_name()), (None, None));
        assert_eq!((end.thread_id(), end.originator()), (None, None));
    });
}

#[test]
fn records_that_one_thread_lets_go_are_taken_by_another() {
    let ((mut lets_go, shared), (mut takes, _)) = (empty(), empty());
    assert!(takes.take(&shared).is_none());
    for _ in 0..=MAX_OWN {
        lets_go.keep(new(), &shared);
    }
    assert_eq!((lets_go.0.len(), shared_len(&shared)), (BATCH + 1, BATCH));
    assert!(takes.take(&shared).is_some());
    assert_eq!((takes.0.len(), shared_len(&shared)), (BATCH - 1, 0));
}

#[test]
fn what_is_kept_is_bounded() {
    let (mut own, shared) = empty();
    for _ in 0..2 * MAX_SHARED {
        own.keep(new(), &shared);
    }
    assert!(own.0.len() <= MAX_OWN);
    assert_eq!(shared_len(&shared), MAX_SHARED);
}
