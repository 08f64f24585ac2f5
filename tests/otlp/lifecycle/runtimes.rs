//! The sink works with any executor, and without one.

use std::thread;

use codex_telemetry::{Call, Operation, OtlpSink, TimingLayer};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::{
    checked::Checked,
    receiver::Receiver,
    rig::{PATIENCE, Wire, assert_all_exported, block_on, calls},
};

fn start(wire: Wire) -> (Receiver, OtlpSink) {
    let receiver = wire.receiver();
    let config = wire.config(&receiver.endpoint()).build().unwrap();
    (receiver, OtlpSink::start(config))
}

/// Makes one call that yields once.
async fn call(sink: OtlpSink) {
    let sink = Checked::over(sink);
    let service = TimingLayer::new(sink.clone()).layer(service_fn(async |_: Call<()>| {
        let mut has_yielded = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut has_yielded, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
        Ok::<_, ()>(())
    }));
    let call = Call::new(Operation::Tool, ()).with_name("t");
    service.oneshot(call).await.unwrap();
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_sink_works_in_any_tokio_runtime() {
    for runtime in [current_thread, || Runtime::new().unwrap()] {
        for &wire in Wire::TRANSPORTS {
            let runtime = runtime();
            runtime.block_on(async {
                let (receiver, sink) = start(wire);
                call(sink.clone()).await;
                tokio::spawn(call(sink.clone())).await.unwrap();
                // Blocks the thread of the runtime, and does not need the runtime.
                assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{wire:?}");
                assert_eq!(receiver.spans().len(), 2);
                call(sink.clone()).await;
                assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()), "{wire:?}");
                assert_all_exported(&sink, 3);
            });
        }
    }
}

#[test]
fn a_flush_may_run_on_a_blocking_thread_of_any_runtime() {
    for runtime in [current_thread(), Runtime::new().unwrap()] {
        runtime.block_on(async {
            let (_receiver, sink) = start(Wire::Http);
            call(sink.clone()).await;
            let flushing = sink.clone();
            let flush = tokio::task::spawn_blocking(move || flushing.blocking_flush(PATIENCE));
            // The runtime runs other calls meanwhile.
            call(sink.clone()).await;
            assert_eq!(flush.await.unwrap(), Ok(()));
            let ending = sink.clone();
            let end = tokio::task::spawn_blocking(move || ending.blocking_shutdown(PATIENCE));
            assert_eq!(end.await.unwrap(), Ok(()));
            assert_all_exported(&sink, 2);
        });
    }
}

#[test]
fn a_sink_works_with_other_executors() {
    for &wire in Wire::TRANSPORTS {
        let (receiver, sink) = start(wire);
        block_on(call(sink.clone()));
        tokio_test::block_on(call(sink.clone()));
        assert_eq!(block_on(async { sink.blocking_flush(PATIENCE) }), Ok(()));
        assert_eq!(receiver.spans().len(), 2);
        assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
        assert_all_exported(&sink, 2);
    }
}

#[test]
fn a_sink_works_without_an_executor() {
    for &wire in Wire::TRANSPORTS {
        let (_receiver, sink) = start(wire);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| calls(sink.clone(), 25));
            }
        });
        assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()), "{wire:?}");
        assert_all_exported(&sink, 100);
    }
}

#[test]
fn a_sink_outlives_the_runtime_that_it_was_started_in() {
    for &wire in Wire::TRANSPORTS {
        let runtime = Runtime::new().unwrap();
        let (receiver, sink) = runtime.block_on(async { start(wire) });
        runtime.block_on(call(sink.clone()));
        drop(runtime);
        calls(sink.clone(), 1);
        assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()), "{wire:?}");
        assert_eq!(receiver.spans().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_of_the_application_does_not_stop_the_export() {
    let (receiver, sink) = start(Wire::Http);
    call(sink.clone()).await;
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
    assert_eq!(receiver.spans().len(), 1);
}
