//! `CallContext::keep_open`: a call that goes on after its service has answered.

use codex_telemetry::{Call, CallContext, CallGuard, ErrorClass, Outcome, TimingLayer};
use tokio_test::task::spawn;
use tower::{Layer, Service, ServiceBuilder};

use crate::{checked::MemorySink, support::*};

/// Makes a call whose service keeps it open and answers `result`; returns the guard.
fn kept_open(sink: &MemorySink, result: Result<u32, Refused>) -> CallGuard {
    let mut guard = None;
    let service = TimingLayer::new(sink.clone()).layer(tower::service_fn(|call: Call<()>| {
        guard = Some(call.context.keep_open());
        std::future::ready(result)
    }));
    assert_eq!(call(service, request()), result);
    guard.expect("the service was called")
}

#[test]
fn a_kept_call_ends_as_its_guard_says() {
    let sink = MemorySink::new();
    let guard = kept_open(&sink, Ok(42));
    assert_eq!(sink.events().len(), 1);
    guard.record("chunks", 3);
    guard.finish();
    let end = only(&sink);
    assert_eq!(end.outcome(), Some(Outcome::Ok));
    assert_eq!(end.attribute("chunks"), Some(&3.into()));

    kept_open(&sink, Ok(42)).fail(ErrorClass::Incomplete);
    assert_eq!(only(&sink).error_class(), Some(ErrorClass::Incomplete));
    drop(kept_open(&sink, Ok(42)));
    assert_eq!(outcomes(&sink), [Outcome::Cancelled]);
}

#[test]
fn an_error_ends_a_kept_call_and_its_guard_does_nothing_more() {
    let sink = MemorySink::new();
    let guard = kept_open(&sink, Err(Refused));
    assert_eq!(outcomes(&sink), [Outcome::Error]);
    guard.finish();
    assert!(sink.events().is_empty());
}

#[test]
fn a_cancellation_ends_a_kept_call() {
    let (mut service, sink) = timed(tower::service_fn(|call: Call<()>| {
        let guard = call.context.keep_open();
        async move {
            std::future::pending::<()>().await;
            guard.finish();
            Ok::<u32, Refused>(42)
        }
    }));
    let mut future = spawn(service.call(request()));
    poll_once(&mut future);
    drop(future);
    assert_eq!(outcomes(&sink), [Outcome::Cancelled]);
}

#[test]
fn only_the_first_guard_of_a_call_keeps_it_open() {
    let mut guards = Vec::new();
    let (service, sink) = timed(shows(|context| {
        guards.extend([context.keep_open(), context.clone().keep_open()]);
    }));
    assert_eq!(call(service, request()), Ok(42));
    drop(guards.pop());
    assert_eq!(sink.events().len(), 1, "the second one ended the call");
    guards.remove(0).finish();
    assert_eq!(outcomes(&sink), [Outcome::Ok]);
}

#[test]
fn a_guard_of_no_open_call_does_nothing() {
    CallContext::new().keep_open().finish();
    let mut context = None;
    let (service, sink) = timed(shows(|it| context = Some(it.clone())));
    assert_eq!(call(service, request()), Ok(42));
    drop(context.expect("the service was called").keep_open());
    assert_eq!(outcomes(&sink), [Outcome::Ok]);
}

#[test]
fn of_two_timing_layers_the_inner_one_s_call_is_kept_open() {
    let sink = MemorySink::new();
    // The inner call outlives the outer one, which the sink would report as a fault.
    let outer = MemorySink::new();
    let mut guard = None;
    let service = ServiceBuilder::new()
        .layer(TimingLayer::new(outer.clone()))
        .layer(TimingLayer::new(sink.clone()))
        .service(shows(|context| guard = Some(context.keep_open())));
    assert_eq!(call(service, request()), Ok(42));
    assert_eq!(outcomes(&outer), [Outcome::Ok]);
    assert_eq!(sink.events().len(), 1);
    guard.expect("the service was called").finish();
    assert_eq!(outcomes(&sink), [Outcome::Ok]);
}
