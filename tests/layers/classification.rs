//! The terminal event of a failed call has the class of the error, and no other event has one.

use std::time::Duration;

use codex_telemetry::{
    Call, Classification, Classify, ErrorClass, ErrorClassLayer, Outcome, TimingLayer,
};
use tower::{Layer, ServiceBuilder, retry::RetryLayer};

use crate::{checked::MemorySink, support::*};

/// Returns the class of a call that is refused, with `layer` inside of the timing layer.
fn class_of<L>(layer: L) -> Option<ErrorClass>
where
    L: Layer<Fun<u32, Refused>>,
    L::Service: tower::Service<Call<()>, Response = u32, Error = Refused>,
{
    let (service, sink) = timed(layer.layer(refuses()));
    assert_eq!(call(service, request()), Err(Refused));
    only(&sink).error_class()
}

#[test]
fn the_terminal_event_has_the_class_of_the_error() {
    let class = class_of(ErrorClassLayer::new(overloaded));
    assert_eq!(class, Some(ErrorClass::Overloaded));
}

#[test]
fn the_terminal_event_has_the_message_and_the_retry_after() {
    let classifier = |_: &Refused| {
        Classification::from(ErrorClass::RateLimit)
            .with_message("slow down")
            .with_retry_after(Some(Duration::from_secs(3)))
    };
    let (service, sink) = timed(ErrorClassLayer::new(classifier).layer(refuses()));
    assert_eq!(call(service, request()), Err(Refused));

    let end = only(&sink);
    assert_eq!(end.error_class(), Some(ErrorClass::RateLimit));
    assert_eq!(end.error_message(), Some("slow down"));
    assert_eq!(end.retry_after(), Some(Duration::from_secs(3)));
}

#[test]
fn of_two_classifiers_the_outer_one_counts() {
    let layers = ServiceBuilder::new()
        .layer(ErrorClassLayer::new(|_: &Refused| ErrorClass::Config))
        .layer(ErrorClassLayer::new(overloaded));
    assert_eq!(class_of(layers), Some(ErrorClass::Config));
}

#[test]
fn a_classifier_overrides_the_service() {
    let (service, sink) = timed(ErrorClassLayer::new(overloaded).layer(shows_and_refuses(
        |context| {
            context.classify(ErrorClass::Io);
            context.classify(ErrorClass::Spawn);
        },
    )));
    assert_eq!(call(service, request()), Err(Refused));
    assert_eq!(only(&sink).error_class(), Some(ErrorClass::Overloaded));
}

#[test]
fn the_last_classification_of_a_service_counts() {
    let (service, sink) = timed(shows_and_refuses(|context| {
        context.classify(ErrorClass::Io);
        context.classify(ErrorClass::Spawn);
    }));
    assert_eq!(call(service, request()), Err(Refused));
    assert_eq!(only(&sink).error_class(), Some(ErrorClass::Spawn));
}

#[test]
fn a_call_that_succeeds_after_a_retry_has_no_class() {
    let flaky = tower::service_fn(|call: Call<()>| {
        let first = call.context.attempt() == 1;
        std::future::ready(if first { Err(Refused) } else { Ok(42) })
    });
    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .layer(TimingLayer::new(sink.clone()))
        .layer(RetryLayer::new(RetryTimes(1)))
        .layer(ErrorClassLayer::new(overloaded))
        .service(flaky);
    assert_eq!(call(service, request()), Ok(42));

    let end = only(&sink);
    assert_eq!(end.outcome(), Some(Outcome::Ok));
    assert_eq!(end.error_class(), None);
}

#[test]
fn a_call_that_is_classified_and_succeeds_has_no_class() {
    let (service, sink) = timed(shows(|context| context.classify(ErrorClass::Io)));
    assert_eq!(call(service, request()), Ok(42));
    assert_eq!(only(&sink).error_class(), None);
}

#[test]
fn an_ok_is_not_classified() {
    let layer =
        ErrorClassLayer::new(|_: &Refused| -> ErrorClass { panic!("the classifier was called") });
    let (service, sink) = timed(layer.layer(answers()));
    assert_eq!(call(service, request()), Ok(42));
    assert_eq!(outcomes(&sink), [Outcome::Ok]);
}

#[test]
fn a_failed_call_without_a_classifier_has_no_class() {
    let (service, sink) = timed(refuses());
    assert_eq!(call(service, request()), Err(Refused));
    assert_eq!(only(&sink).error_class(), None);
}

#[test]
fn an_error_of_any_type_can_be_classified() {
    fn class<E: Clone + 'static, C>(error: E, classifier: C) -> Option<ErrorClass>
    where
        C: Classify<E> + Clone,
    {
        let fails =
            tower::service_fn(move |_: Call<()>| std::future::ready(Err::<(), E>(error.clone())));
        let (service, sink) = timed(ErrorClassLayer::new(classifier).layer(fails));
        assert!(call(service, request()).is_err());
        only(&sink).error_class()
    }

    let unit = class((), |(): &()| ErrorClass::Other);
    assert_eq!(unit, Some(ErrorClass::Other));
    let text = class(String::from("late"), |text: &String| match text.as_str() {
        "late" => ErrorClass::Timeout,
        _ => ErrorClass::Other,
    });
    assert_eq!(text, Some(ErrorClass::Timeout));
    let named = class(7_u8, |_: &u8| ErrorClass::Custom("seven"));
    assert_eq!(named.map(ErrorClass::as_str), Some("seven"));
}

#[test]
fn a_custom_type_can_be_the_classifier() {
    #[derive(Clone)]
    struct Always(ErrorClass);
    impl<E> Classify<E> for Always {
        fn classify(&self, _: &E) -> Classification {
            self.0.into()
        }
    }

    let class = class_of(ErrorClassLayer::new(Always(ErrorClass::Protocol)));
    assert_eq!(class, Some(ErrorClass::Protocol));
}
