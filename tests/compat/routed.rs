//! Stacks that are selected, queued or made by tower's middleware.

use codex_telemetry::{
    BoxError, Call, CodexClassifier, ErrorClass, Event, Operation, Outcome, ServiceBuilderExt,
    TimingLayer,
};
use tower::{
    Service, ServiceBuilder, ServiceExt,
    buffer::Buffer,
    steer::Steer,
    util::{BoxCloneService, Either, option_layer},
};

use crate::support::*;

type Stack = BoxCloneService<Call<u32>, u32, BoxError>;

fn stack(sink: &MemorySink) -> Stack {
    let service = ServiceBuilder::new()
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service_fn(|call: Call<u32>| double(call.request));
    BoxCloneService::new(service)
}

#[tokio::test]
async fn each_stack_behind_a_steer_has_its_own_sink() {
    let (small, large) = (MemorySink::new(), MemorySink::new());
    let stacks = [stack(&small), stack(&large)];
    let mut steer = Steer::new(stacks, |call: &Call<u32>, _: &[Stack]| {
        usize::from(call.request > 100)
    });
    for number in [2, 200, 4, 400] {
        let service = steer.ready().await.unwrap();
        let answer = service.call(Call::new(WORK, number)).await;
        assert_eq!(answer.unwrap(), 2 * number);
    }
    assert_eq!(ended(&small).len(), 2);
    assert_eq!(ended(&large).len(), 2);
}

#[tokio::test]
async fn a_timing_layer_is_optional() {
    for enabled in [true, false] {
        let sink = MemorySink::new();
        let timing = enabled.then(|| TimingLayer::new(sink.clone()));
        let service = ServiceBuilder::new()
            .layer(option_layer(timing))
            .error_class(CodexClassifier)
            .service_fn(|call: Call<u32>| double(call.request));
        assert_eq!(service.oneshot(Call::new(WORK, 4)).await.unwrap(), 8);
        assert_eq!(ended(&sink).len(), usize::from(enabled));
    }
}

#[tokio::test]
async fn two_stacks_work_in_an_either() {
    let sink = MemorySink::new();
    for local in [true, false] {
        let plain = tower::service_fn(|call: Call<u32>| double(call.request));
        let service = if local {
            Either::Left(stack(&sink))
        } else {
            Either::Right(ServiceBuilder::new().timing(sink.clone()).service(plain))
        };
        let answer = service.oneshot(Call::new(WORK, 5)).await;
        assert_eq!(answer.unwrap_err().to_string(), "odd");
        let class = local.then_some(ErrorClass::Other);
        assert_eq!(only(&sink).error_class(), class);
    }
}

#[tokio::test]
async fn a_buffer_around_a_boxed_stack_serves_many_tasks() {
    let sink = MemorySink::new();
    let (buffer, worker) = Buffer::pair(stack(&sink), 4);
    let worker = tokio::spawn(worker);
    let tasks: Vec<_> = (0..40)
        .map(|number| tokio::spawn(buffer.clone().oneshot(Call::new(WORK, number))))
        .collect();
    drop(buffer);
    for (task, number) in tasks.into_iter().zip(0..) {
        let answer = task.await.unwrap();
        assert_eq!(answer.ok(), (number % 2 == 0).then_some(2 * number));
    }
    worker.await.unwrap();
    let failed = |call: &&Event| call.outcome() == Some(Outcome::Error);
    let ended = ended(&sink);
    assert_eq!(ended.len(), 40);
    assert_eq!(ended.iter().filter(failed).count(), 20);
}

#[tokio::test]
async fn services_that_are_made_for_each_session_share_the_sink() {
    let sink = MemorySink::new();
    let timing = TimingLayer::new(sink.clone());
    // A make-service, as a server has it for its connections.
    let mut sessions = tower::service_fn(move |session: &'static str| {
        let service =
            ServiceBuilder::new()
                .layer(timing.clone())
                .service_fn(move |call: Call<u32>| {
                    call.context.record("session", session);
                    double(call.request)
                });
        std::future::ready(Ok::<_, BoxError>(service))
    });
    for session in ["one", "two"] {
        let mut service = sessions.ready().await.unwrap().call(session).await.unwrap();
        for number in [2, 4] {
            let call = Call::new(Operation::Tool, number);
            service.ready().await.unwrap().call(call).await.unwrap();
        }
    }
    let ended = ended(&sink);
    let sessions: Vec<_> = ended
        .iter()
        .map(|call| call.attribute("session").unwrap().as_str().into_owned())
        .collect();
    assert_eq!(sessions, ["one", "one", "two", "two"]);
}
