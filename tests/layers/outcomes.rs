//! Every call has one end, whether by a response, an error, a drop or a leak.

use codex_telemetry::{ErrorClass, EventKind, Outcome};
use tokio_test::task::spawn;
use tower::Service;

use crate::{checked::Fault, support::*};

#[test]
fn a_call_that_succeeds_ends_as_ok() {
    let (service, sink) = timed(answers());
    assert_eq!(call(service, request()), Ok(42));

    let end = only(&sink);
    assert_eq!(end.kind(), EventKind::Stop);
    assert_eq!(end.outcome(), Some(Outcome::Ok));
    assert_eq!(end.name(), "work.stop");
    assert_eq!(end.error_class(), None);
}

#[test]
fn a_call_that_fails_ends_as_an_error_which_is_returned_unchanged() {
    let (service, sink) = timed(refuses());
    assert_eq!(call(service, request()), Err(Refused));

    let end = only(&sink);
    assert_eq!(end.kind(), EventKind::Exception);
    assert_eq!(end.outcome(), Some(Outcome::Error));
    assert_eq!(end.name(), "work.exception");
}

#[test]
fn a_call_starts_before_its_future_is_polled() {
    let (mut service, sink) = timed(hangs());
    let future = begin(&mut service);

    let kinds: Vec<_> = sink.events().iter().map(|event| event.kind()).collect();
    assert_eq!(kinds, [EventKind::Start]);
    drop(future);
    assert_eq!(outcomes(&sink), [Outcome::Cancelled]);
}

#[test]
fn a_future_dropped_before_its_first_poll_is_a_cancelled_call() {
    let (mut service, sink) = timed(answers());
    drop(begin(&mut service));

    let end = only(&sink);
    assert_eq!(end.outcome(), Some(Outcome::Cancelled));
    assert_eq!(end.kind(), EventKind::Exception);
    assert_eq!(end.error_class(), Some(ErrorClass::Cancelled));
}

#[test]
fn a_future_dropped_while_pending_is_a_cancelled_call() {
    let (mut service, sink) = timed(hangs());
    let mut future = spawn(begin(&mut service));
    poll_once(&mut future);
    drop(future);

    assert_eq!(outcomes(&sink), [Outcome::Cancelled]);
}

#[test]
fn a_future_dropped_after_completion_emits_nothing_more() {
    let (mut service, sink) = timed(answers());
    let mut future = spawn(begin(&mut service));
    assert!(future.poll().is_ready());
    assert_eq!(outcomes(&sink), [Outcome::Ok]);

    drop(future);
    assert!(sink.events().is_empty());
}

#[test]
fn a_future_that_is_leaked_is_a_call_that_never_ends() {
    let (mut service, sink) = timed(hangs());
    let sink = sink.expecting(Fault::Open);
    std::mem::forget(begin(&mut service));
    assert_eq!(sink.events().len(), 1);
}

#[test]
fn a_value_dropped_by_a_cancellation_can_still_record() {
    struct RecordOnDrop(codex_telemetry::CallContext);
    impl Drop for RecordOnDrop {
        fn drop(&mut self) {
            self.0.record("dropped", true);
        }
    }

    let (mut service, sink) = timed(tower::service_fn(|call: codex_telemetry::Call<()>| {
        let last = RecordOnDrop(call.context);
        async move {
            std::future::pending::<()>().await;
            drop(last);
            Ok::<u32, Refused>(42)
        }
    }));
    let mut future = spawn(begin(&mut service));
    poll_once(&mut future);
    drop(future);

    let end = only(&sink);
    assert_eq!(end.outcome(), Some(Outcome::Cancelled));
    assert_eq!(end.attribute("dropped"), Some(&true.into()));
}

#[test]
fn a_cancellation_overrides_a_classification() {
    let (mut service, sink) = timed(tower::service_fn(|call: codex_telemetry::Call<()>| {
        call.context.classify(ErrorClass::RateLimit);
        std::future::pending::<Result<u32, Refused>>()
    }));
    drop(begin(&mut service));

    assert_eq!(only(&sink).error_class(), Some(ErrorClass::Cancelled));
}

#[test]
fn every_call_of_a_cloned_service_ends_once() {
    let (service, sink) = timed(answers());
    let clones = [service.clone(), service.clone(), service];
    let mut futures: Vec<_> = clones
        .into_iter()
        .map(|mut service| spawn(service.call(request())))
        .collect();
    assert!(futures[2].poll().is_ready());
    assert!(futures[0].poll().is_ready());
    drop(futures);

    assert_eq!(
        outcomes(&sink),
        [Outcome::Ok, Outcome::Ok, Outcome::Cancelled]
    );
}

#[test]
fn every_call_on_many_threads_ends_once() {
    let (service, sink) = timed(answers());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(call(service.clone(), request()), Ok(42));
                }
            });
        }
    });

    assert_eq!(outcomes(&sink), [Outcome::Ok; 400]);
}
