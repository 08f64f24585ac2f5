//! Stacks with erased types, as an application keeps them in its structs.

use codex_telemetry::{
    BoxError, Call, CodexClassifier, ErrorClass, Originator, Outcome, ServiceBuilderExt,
};
use tower::{
    Service, ServiceBuilder, ServiceExt,
    util::{
        BoxCloneService, BoxCloneServiceLayer, BoxCloneSyncService, BoxLayer, BoxService,
        UnsyncBoxService,
    },
};

use crate::support::*;

/// Calls `service` with a number that succeeds and one that fails, and checks the events.
async fn check<S>(name: &str, service: &mut S, sink: &MemorySink)
where
    S: Service<Call<u32>, Response = u32, Error = BoxError>,
{
    for (number, outcome, class) in [
        (4, Outcome::Ok, None),
        (5, Outcome::Error, Some(ErrorClass::Other)),
    ] {
        let service = service.ready().await.expect("it is ready");
        let answer = service.call(Call::new(WORK, number)).await;
        assert_eq!(answer.is_ok(), outcome == Outcome::Ok, "{name}");
        let call = only(sink);
        assert_eq!(call.outcome(), Some(outcome), "{name}");
        assert_eq!(call.error_class(), class, "{name}");
        assert_eq!(call.originator(), Some(&Originator::Cli), "{name}");
    }
}

/// A stack before its type is erased.
macro_rules! stack {
    ($sink:expr) => {
        ServiceBuilder::new()
            .originator(Originator::Cli)
            .timing($sink.clone())
            .error_class(CodexClassifier)
            .service_fn(|call: Call<u32>| double(call.request))
    };
}

#[tokio::test]
async fn a_stack_works_in_each_of_towers_boxes() {
    let sink = MemorySink::new();
    let mut shared = BoxCloneSyncService::new(stack!(sink));
    check("BoxCloneSyncService", &mut shared, &sink).await;
    let mut cloned = BoxCloneService::new(stack!(sink));
    check("BoxCloneService", &mut cloned.clone(), &sink).await;
    check("BoxCloneService", &mut cloned, &sink).await;
    check("BoxService", &mut BoxService::new(stack!(sink)), &sink).await;
    let mut unsync = UnsyncBoxService::new(stack!(sink));
    check("UnsyncBoxService", &mut unsync, &sink).await;
}

#[test]
fn a_box_that_threads_share_reports_every_call() {
    let sink = MemorySink::new();
    let shared = BoxCloneSyncService::new(stack!(sink));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let shared = &shared;
            scope.spawn(move || {
                for number in 0..25 {
                    let call = Call::new(WORK, 2 * number + thread % 2);
                    let answer = tokio_test::block_on(shared.clone().oneshot(call));
                    assert_eq!(answer.is_ok(), thread % 2 == 0);
                }
            });
        }
    });
    let ended = ended(&sink);
    assert_eq!(ended.len(), 100);
    let failed = ended.iter().filter(|call| call.error_class().is_some());
    assert_eq!(failed.count(), 50);
}

#[tokio::test]
async fn the_layers_work_in_each_of_towers_boxes() {
    type Inner = BoxCloneService<Call<u32>, u32, BoxError>;

    let sink = MemorySink::new();
    let inner: Inner =
        BoxCloneService::new(tower::service_fn(|call: Call<u32>| double(call.request)));
    let layers = ServiceBuilder::new()
        .originator(Originator::Cli)
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .into_inner();
    let once = BoxLayer::<Inner, _, _, _>::new(layers.clone());
    let mut service = ServiceBuilder::new().layer(once).service(inner.clone());
    check("BoxLayer", &mut service, &sink).await;
    let cloned = BoxCloneServiceLayer::<Inner, _, _, _>::new(layers);
    let mut service = ServiceBuilder::new().layer(cloned.clone()).service(inner);
    check("BoxCloneServiceLayer", &mut service, &sink).await;
}
