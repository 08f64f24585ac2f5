//! A panic ends its call as a panic, not as cancelled, and reaches the caller unchanged.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use codex_telemetry::{Call, ErrorClass, ErrorClassLayer, EventKind, Outcome, TimingLayer};
use tokio_test::task::spawn;
use tower::{Layer, Service, ServiceBuilder};

use crate::support::*;

/// A future that panics on its first poll, and is pending afterwards.
#[derive(Default)]
struct PanicsOnce(bool);

impl Future for PanicsOnce {
    type Output = Result<u32, Refused>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if !std::mem::replace(&mut self.0, true) {
            panic!("in poll");
        }
        Poll::Pending
    }
}

/// A future that panics when it is dropped.
struct PanicsInDrop;

impl Future for PanicsInDrop {
    type Output = Result<u32, Refused>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("in drop");
    }
}

#[test]
fn a_panic_in_call_ends_the_call_and_propagates() {
    let (mut service, sink) = timed(panics_in_call());
    assert_eq!(panic_of(|| begin(&mut service)), "in call");

    let end = only(&sink);
    assert_eq!(end.outcome(), Some(Outcome::Panic));
    assert_eq!(end.kind(), EventKind::Exception);
    assert_eq!(end.error_class(), Some(ErrorClass::Panic));
}

#[test]
fn a_panic_in_poll_ends_the_call_at_once_and_the_drop_emits_nothing_more() {
    let (mut service, sink) = timed(tower::service_fn(|_| PanicsOnce::default()));
    let mut future = spawn(begin(&mut service));
    assert_eq!(panic_of(|| future.poll()), "in poll");
    assert_eq!(outcomes(&sink), [Outcome::Panic]);

    drop(future);
    assert!(sink.events().is_empty());
}

#[test]
fn a_future_polled_again_after_its_panic_emits_nothing_more() {
    let (mut service, sink) = timed(tower::service_fn(|_| PanicsOnce::default()));
    let mut future = spawn(begin(&mut service));
    assert_eq!(panic_of(|| future.poll()), "in poll");
    poll_once(&mut future);
    drop(future);

    assert_eq!(outcomes(&sink), [Outcome::Panic]);
}

#[test]
fn a_future_dropped_by_the_unwinding_of_its_own_panic_is_a_panic() {
    let (mut service, sink) = timed(tower::service_fn(|_| PanicsOnce::default()));
    let text = panic_of(|| {
        let mut future = spawn(begin(&mut service));
        future.poll()
    });
    assert_eq!(text, "in poll");
    assert_eq!(outcomes(&sink), [Outcome::Panic]);
}

#[test]
fn an_unrelated_panic_that_unwinds_past_a_pending_call_cancels_it() {
    let (mut service, sink) = timed(hangs());
    let text = panic_of(|| {
        let mut future = spawn(begin(&mut service));
        poll_once(&mut future);
        panic!("elsewhere");
    });
    assert_eq!(text, "elsewhere");
    assert_eq!(outcomes(&sink), [Outcome::Cancelled]);
}

#[test]
fn a_call_that_completes_during_an_unrelated_panic_is_ok() {
    struct CallsInDrop<S: Service<Call<()>, Error = Refused> + Clone>(S);
    impl<S: Service<Call<()>, Error = Refused> + Clone> Drop for CallsInDrop<S> {
        fn drop(&mut self) {
            assert!(call(self.0.clone(), request()).is_ok());
        }
    }

    let (service, sink) = timed(answers());
    let text = panic_of(|| {
        let _calls = CallsInDrop(service);
        panic!("elsewhere");
    });
    assert_eq!(text, "elsewhere");
    assert_eq!(outcomes(&sink), [Outcome::Ok]);
}

#[test]
fn an_inner_future_whose_drop_panics_is_a_cancelled_call() {
    let (mut service, sink) = timed(tower::service_fn(|_| PanicsInDrop));
    let future = begin(&mut service);
    assert_eq!(panic_of(|| drop(future)), "in drop");
    assert_eq!(outcomes(&sink), [Outcome::Cancelled]);
}

#[test]
fn a_panic_ends_every_call_around_it() {
    let (_, sink) = timed(());
    let stack = TimingLayer::new(sink.clone());
    let mut service = stack.layer(stack.layer(panics_in_call()));
    assert_eq!(panic_of(|| begin(&mut service)), "in call");
    assert_eq!(outcomes(&sink), [Outcome::Panic, Outcome::Panic]);
}

#[test]
fn a_classifier_that_panics_ends_the_call_as_a_panic() {
    let (_, sink) = timed(());
    let mut service = ServiceBuilder::new()
        .layer(TimingLayer::new(sink.clone()))
        .layer(ErrorClassLayer::new(|_: &Refused| -> ErrorClass {
            panic!("in the classifier")
        }))
        .service(refuses());
    let mut future = spawn(service.call(request()));
    assert_eq!(panic_of(|| future.poll()), "in the classifier");
    drop(future);
    assert_eq!(outcomes(&sink), [Outcome::Panic]);
}

#[test]
fn a_panic_that_the_service_catches_does_not_end_the_call() {
    let (service, sink) = timed(shows(|_| {
        assert_eq!(panic_of(|| panic!("inside")), "inside");
    }));
    assert_eq!(call(service, request()), Ok(42));
    assert_eq!(outcomes(&sink), [Outcome::Ok]);
}

#[tokio::test]
async fn a_panic_in_a_spawned_task_ends_the_call_as_a_panic() {
    let (mut service, sink) = timed(tower::service_fn(|_| PanicsOnce::default()));
    let task = tokio::spawn(begin(&mut service));
    assert!(task.await.is_err_and(|error| error.is_panic()));
    assert_eq!(outcomes(&sink), [Outcome::Panic]);
}

#[tokio::test]
async fn an_aborted_task_cancels_its_call() {
    let (mut service, sink) = timed(hangs());
    let task = tokio::spawn(begin(&mut service));
    task.abort();
    assert!(task.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(outcomes(&sink), [Outcome::Cancelled]);
}
