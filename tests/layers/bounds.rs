//! The layers need no bounds on requests, responses, errors and futures.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Ready, ready},
    rc::Rc,
    sync::Arc,
};

use codex_telemetry::{
    Call, CallContext, CodexRequest, ErrorClass, ErrorClassLayer, Event, Operation, Originator,
    OriginatorLayer, Outcome, Sink, TimingLayer,
};
use tower::{Layer, ServiceBuilder, ServiceExt};

use crate::{checked::MemorySink, support::*};

/// A response or an error that implements no trait.
struct Bare;

#[tokio::test]
async fn services_and_futures_need_not_be_send() {
    let sink = MemorySink::new();
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    let service = ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Cli))
        .layer(TimingLayer::new(sink.clone()))
        .layer(ErrorClassLayer::new(|_: &Rc<str>| ErrorClass::Other))
        .service_fn(move |call: Call<Rc<str>>| {
            let count = Rc::clone(&counted);
            async move {
                tokio::task::yield_now().await;
                count.set(count.get() + 1);
                Err::<Rc<str>, Rc<str>>(call.request)
            }
        });
    let task = async move {
        let task = tokio::task::spawn_local(service.oneshot(Call::new(WORK, "back".into())));
        task.await.expect("the task completes")
    };
    let answer = tokio::task::LocalSet::new().run_until(task).await;

    assert_eq!(answer.err().as_deref(), Some("back"));
    assert_eq!(count.get(), 1);
    assert_eq!(only(&sink).error_class(), Some(ErrorClass::Other));
}

#[test]
fn a_response_may_borrow() {
    fn trim<'a>(sink: &MemorySink, text: &'a str) -> Result<&'a str, &'a str> {
        let service = ServiceBuilder::new()
            .layer(OriginatorLayer::new(Originator::Cli))
            .layer(TimingLayer::new(sink.clone()))
            .layer(ErrorClassLayer::new(|_: &&'a str| ErrorClass::Other))
            .service_fn(|call: Call<&'a str>| -> Ready<Result<&'a str, &'a str>> {
                match call.request {
                    "" => ready(Err(call.request)),
                    text => ready(Ok(text.trim())),
                }
            });
        call(service, Call::new(WORK, text))
    }

    let sink = MemorySink::new();
    let text = String::from(" text ");
    assert_eq!(trim(&sink, &text), Ok("text"));
    assert_eq!(trim(&sink, ""), Err(""));
    assert_eq!(outcomes(&sink), [Outcome::Ok, Outcome::Error]);
}

#[test]
fn responses_and_errors_need_no_trait() {
    let sink = MemorySink::new();
    for fails in [false, true] {
        let service = ServiceBuilder::new()
            .layer(OriginatorLayer::new(Originator::Cli))
            .layer(TimingLayer::new(sink.clone()))
            .layer(ErrorClassLayer::new(|_: &Bare| ErrorClass::Other))
            .service_fn(|_: Call<Bare>| ready(if fails { Err(Bare) } else { Ok(Bare) }));
        let answer: Result<Bare, Bare> = call(service, Call::new(WORK, Bare));
        assert_eq!(answer.is_err(), fails);
    }
    assert_eq!(outcomes(&sink), [Outcome::Ok, Outcome::Error]);
}

#[test]
fn an_infallible_service_stays_infallible() {
    let (service, sink) = timed(tower::service_fn(|_: Call<()>| {
        ready(Ok::<_, Infallible>(42))
    }));
    let Ok(answer) = call(service, request());
    assert_eq!(answer, 42);
    assert_eq!(outcomes(&sink), [Outcome::Ok]);
}

#[test]
fn a_custom_request_type_works_with_all_three_layers() {
    struct Sync(CallContext);
    impl CodexRequest for Sync {
        fn operation(&self) -> Operation {
            Operation::AttachmentCleanup
        }
        fn context(&self) -> &CallContext {
            &self.0
        }
        fn context_mut(&mut self) -> &mut CallContext {
            &mut self.0
        }
    }

    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Cli))
        .layer(TimingLayer::new(sink.clone()))
        .layer(ErrorClassLayer::new(|(): &()| ErrorClass::Io))
        .service_fn(|_: Sync| ready(Err::<u32, ()>(())));
    assert_eq!(call(service, Sync(CallContext::new())), Err(()));

    let end = only(&sink);
    assert_eq!(end.name(), "codex.attachment.cleanup.exception");
    assert_eq!(end.originator(), Some(&Originator::Cli));
    assert_eq!(end.error_class(), Some(ErrorClass::Io));
}

#[test]
fn the_name_of_a_call_is_on_both_events() {
    let (service, sink) = timed(answers());
    assert_eq!(call(service, request().with_name("shell")), Ok(42));
    assert_eq!(sink.events()[0].call_name(), Some("shell"));
    assert_eq!(only(&sink).call_name(), Some("shell"));
}

#[test]
fn the_inner_service_is_accessible() {
    let (mut timing, _sink) = timed(7_u8);
    *timing.get_mut() += 1;
    assert_eq!((*timing.get_ref(), timing.into_inner()), (8, 8));

    let mut originator = OriginatorLayer::new(Originator::Cli).layer(7_u8);
    *originator.get_mut() += 1;
    assert_eq!((*originator.get_ref(), originator.into_inner()), (8, 8));

    let mut classes = ErrorClassLayer::new(overloaded).layer(7_u8);
    *classes.get_mut() += 1;
    assert_eq!((*classes.get_ref(), classes.into_inner()), (8, 8));
}

/// A sink whose `Arc` counts how many of it are alive.
struct Alive(
    #[expect(dead_code, reason = "only its count is read")] Arc<()>,
    MemorySink,
);

impl Sink for Alive {
    fn emit(&self, event: Event) {
        self.1.emit(event);
    }
}

#[test]
fn a_sink_is_dropped_with_the_layer_its_services_and_their_contexts() {
    let alive = Arc::new(());
    let memory = MemorySink::new();
    let layer = TimingLayer::new(Alive(Arc::clone(&alive), memory.clone()));
    let mut kept = Vec::new();
    let mut service = layer.layer(shows(|context| kept.push(context.clone())));
    drop(tower::Service::call(&mut service, request()));
    assert_eq!(call(&mut service, request()), Ok(42));
    let events = memory.events();
    assert_eq!(outcomes(&memory), [Outcome::Cancelled, Outcome::Ok]);

    drop(layer);
    drop(service);
    assert_eq!(kept.len(), 2);
    drop(kept);
    assert_eq!(Arc::strong_count(&alive), 1, "the sink is still referenced");
    assert_eq!(events.len(), 4, "the events outlive the sink");
}
