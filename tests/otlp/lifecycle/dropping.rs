//! The last clone is dropped: what is under way is waited for, and nothing panics or gets stuck.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use codex_telemetry::OtlpSink;
use tokio::runtime::{Builder, Runtime};

use crate::{
    receiver::{Behaviour, Receiver},
    rig::{PATIENCE, Wire, calls},
};

fn start(receiver: &Receiver, wire: Wire) -> OtlpSink {
    let config = wire.config(&receiver.endpoint());
    OtlpSink::start(config.build().unwrap())
}

/// Drops a sink with two calls under way in each of these ways, and asserts that they arrived by then.
fn dropped(how: impl Fn(OtlpSink)) {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        let sink = start(&receiver, wire);
        calls(sink.clone(), 2);
        how(sink);
        assert_eq!(receiver.spans().len(), 2, "{wire:?}");
        assert_eq!(receiver.logs().len(), 4, "{wire:?}");
        assert!(receiver.metric("gen_ai.execute_tool.duration").is_some());
    }
}

fn runtimes() -> [Runtime; 2] {
    [
        Builder::new_current_thread().enable_all().build().unwrap(),
        Runtime::new().unwrap(),
    ]
}

#[test]
fn dropping_a_sink_outside_of_any_runtime_delivers_what_is_under_way() {
    dropped(drop);
}

#[test]
fn dropping_a_sink_inside_of_a_runtime_delivers_what_is_under_way() {
    for runtime in runtimes() {
        dropped(|sink| runtime.block_on(async move { drop(sink) }));
    }
}

#[test]
fn dropping_a_sink_in_a_task_delivers_what_is_under_way() {
    for runtime in runtimes() {
        dropped(|sink| {
            let task = runtime.spawn(async move { drop(sink) });
            runtime.block_on(task).unwrap();
        });
    }
}

#[test]
fn dropping_a_sink_with_a_task_that_is_aborted_delivers_what_is_under_way() {
    for runtime in runtimes() {
        dropped(|sink| {
            let (started, starts) = tokio::sync::oneshot::channel();
            let task = runtime.spawn(async move {
                let _held = sink;
                let _ = started.send(());
                std::future::pending::<()>().await;
            });
            let told = runtime.block_on(async {
                starts.await.unwrap();
                task.abort();
                task.await
            });
            assert!(told.unwrap_err().is_cancelled());
        });
    }
}

#[test]
fn dropping_a_sink_with_the_runtime_that_holds_it_delivers_what_is_under_way() {
    for kind in 0..2 {
        dropped(|sink| {
            let runtime = runtimes().into_iter().nth(kind).unwrap();
            runtime.spawn(async move {
                let _held = sink;
                std::future::pending::<()>().await;
            });
            drop(runtime);
        });
    }
}

#[test]
fn dropping_a_sink_while_its_thread_panics_delivers_what_is_under_way() {
    dropped(|sink| {
        let panicked = thread::spawn(move || {
            let _held = sink;
            panic!("as the test wants it");
        });
        assert!(panicked.join().is_err());
    });
}

#[test]
fn a_drop_does_not_wait_for_a_collector_that_hangs() {
    for runtime in runtimes() {
        let receiver = Receiver::http();
        receiver.behave(Behaviour::Hang);
        let sink = start(&receiver, Wire::Http);
        calls(sink.clone(), 1);
        let began = Instant::now();
        runtime.block_on(async move { drop(sink) });
        // Two seconds as documented, and what a busy machine makes of them.
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_drop_after_a_shutdown_has_nothing_to_wait_for() {
    let receiver = Receiver::http();
    receiver.behave(Behaviour::Hang);
    let sink = start(&receiver, Wire::Http);
    calls(sink.clone(), 1);
    sink.shutdown(Duration::from_millis(50)).unwrap_err();
    let (dropped, told) = mpsc::channel();
    thread::spawn(move || {
        drop(sink);
        dropped.send(()).unwrap();
    });
    told.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn dropping_one_clone_ends_nothing() {
    let receiver = Receiver::http();
    let sink = start(&receiver, Wire::Http);
    drop(sink.clone());
    calls(sink.clone(), 1);
    assert_eq!(sink.flush(PATIENCE), Ok(()));
    assert_eq!(receiver.spans().len(), 1);
}
