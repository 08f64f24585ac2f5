//! Services, requests and futures that are not `Send`.

use std::{cell::RefCell, rc::Rc, time::Duration};

use codex_telemetry::{Call, ErrorClass, Originator, Outcome, RetryPolicy, ServiceBuilderExt};
use tokio::task::LocalSet;
use tower::{ServiceBuilder, ServiceExt};

use crate::support::*;

/// Makes the request, and a future that holds it, not `Send`.
type Log = Rc<RefCell<Vec<u32>>>;

async fn write(call: Call<Log>) -> Result<usize, Rc<str>> {
    tokio::task::yield_now().await;
    let mut log = call.request.borrow_mut();
    log.push(call.context.attempt());
    if log.len() < 3 {
        return Err("too short".into());
    }
    Ok(log.len())
}

#[tokio::test(start_paused = true)]
async fn the_whole_stack_runs_on_a_local_set() {
    let sink = MemorySink::new();
    let log = Log::default();
    let policy = RetryPolicy::new().classifier(|_: &Rc<str>| ErrorClass::Transport);
    let service = ServiceBuilder::new()
        .originator(Originator::Sdk)
        .timing(sink.clone())
        .retry(policy)
        .timing(sink.clone())
        .error_class(|_: &Rc<str>| ErrorClass::Transport)
        .service_fn(write);
    let local = LocalSet::new();
    let call = Call::new(WORK, Rc::clone(&log));
    let task = local.spawn_local(service.oneshot(call));
    let answer = local.run_until(task).await.expect("the task completes");

    assert_eq!(answer.as_ref().map(|length| *length), Ok(3));
    assert_eq!(*log.borrow(), [1, 2, 3]);
    let ended = ended(&sink);
    assert_eq!(ended.len(), 4);
    assert_eq!(ended[3].outcome(), Some(Outcome::Ok));
    assert!(
        ended[..3]
            .iter()
            .all(|attempt| attempt.parent_span_id() == Some(ended[3].span_id()))
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_local_set_cancels_its_calls() {
    let sink = MemorySink::new();
    let service =
        ServiceBuilder::new()
            .timing(sink.clone())
            .service_fn(|call: Call<Log>| async move {
                tokio::time::sleep(Duration::MAX).await;
                write(call).await
            });
    let local = LocalSet::new();
    for _ in 0..3 {
        local.spawn_local(service.clone().oneshot(Call::new(WORK, Log::default())));
    }
    local
        .run_until(async {
            while sink.events().len() < 3 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    drop(local);

    let ended = ended(&sink);
    assert_eq!(ended.len(), 3);
    for call in ended {
        assert_eq!(call.outcome(), Some(Outcome::Cancelled));
    }
}
