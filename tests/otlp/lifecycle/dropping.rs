//! Dropping the last clone exports pending records, and does not panic or hang.

use std::{
    fmt,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use codex_telemetry::{OtlpSink, Sink as _};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    receiver::{MockResponse, Receiver},
    rig::{PATIENCE, Wire, calls, spans_only},
};

fn start(receiver: &Receiver, wire: Wire) -> OtlpSink {
    let config = wire.config(&receiver.endpoint());
    OtlpSink::start(config.build().unwrap())
}

/// Drops a sink with the pending records of two calls, and asserts that the receiver has them.
fn assert_exported_by(drop_sink: impl Fn(OtlpSink)) {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        let sink = start(&receiver, wire);
        calls(sink.clone(), 2);
        drop_sink(sink);
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
fn dropping_a_sink_without_a_runtime_exports_pending_records() {
    assert_exported_by(drop);
}

#[test]
fn dropping_a_sink_in_a_runtime_exports_pending_records() {
    for runtime in runtimes() {
        assert_exported_by(|sink| runtime.block_on(async move { drop(sink) }));
    }
}

#[test]
fn dropping_a_sink_in_a_task_exports_pending_records() {
    for runtime in runtimes() {
        assert_exported_by(|sink| {
            let task = runtime.spawn(async move { drop(sink) });
            runtime.block_on(task).unwrap();
        });
    }
}

#[test]
fn dropping_a_sink_with_an_aborted_task_exports_pending_records() {
    for runtime in runtimes() {
        assert_exported_by(|sink| {
            let (started, starts) = tokio::sync::oneshot::channel();
            let task = runtime.spawn(async move {
                let _held = sink;
                let _ = started.send(());
                std::future::pending::<()>().await;
            });
            let aborted = runtime.block_on(async {
                starts.await.unwrap();
                task.abort();
                task.await
            });
            assert!(aborted.unwrap_err().is_cancelled());
        });
    }
}

#[test]
fn dropping_a_sink_with_its_runtime_exports_pending_records() {
    for kind in 0..2 {
        assert_exported_by(|sink| {
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
fn dropping_a_sink_in_a_panicking_thread_exports_pending_records() {
    assert_exported_by(|sink| {
        let panicked = thread::spawn(move || {
            let _held = sink;
            panic!("a panic that the test expects");
        });
        assert!(panicked.join().is_err());
    });
}

#[test]
fn a_drop_waits_two_seconds_at_most_for_a_hanging_collector() {
    for runtime in runtimes() {
        let receiver = Receiver::http();
        receiver.respond_with(MockResponse::Hang);
        let sink = start(&receiver, Wire::Http);
        calls(sink.clone(), 1);
        let began = Instant::now();
        runtime.block_on(async move { drop(sink) });
        // Two seconds as documented, and more on a busy machine.
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_drop_after_a_shutdown_does_not_wait() {
    let receiver = Receiver::http();
    receiver.respond_with(MockResponse::Hang);
    let sink = start(&receiver, Wire::Http);
    calls(sink.clone(), 1);
    sink.blocking_shutdown(Duration::from_millis(50))
        .unwrap_err();
    let (dropped, is_dropped) = mpsc::channel();
    thread::spawn(move || {
        drop(sink);
        dropped.send(()).unwrap();
    });
    is_dropped.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn dropping_one_clone_does_not_shut_down() {
    let receiver = Receiver::http();
    let sink = start(&receiver, Wire::Http);
    drop(sink.clone());
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_flush(PATIENCE), Ok(()));
    assert_eq!(receiver.spans().len(), 1);
}

/// An exporter that does something with the sink of its spans.
struct Owner<F> {
    sink: Arc<Mutex<Option<OtlpSink>>>,
    during_export: F,
    ended: mpsc::Sender<()>,
}

impl<F> fmt::Debug for Owner<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owner")
    }
}

impl<F: Fn(OtlpSink) + Send + Sync> SpanExporter for Owner<F> {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        if let Some(sink) = self.sink.lock().unwrap().take() {
            (self.during_export)(sink);
        }
        Ok(())
    }

    fn shutdown(&self) -> OTelSdkResult {
        let _ = self.ended.send(());
        Ok(())
    }
}

/// Lets an exporter have the last clone of its sink while it exports, and waits for its shutdown.
fn export_with_the_sink(during_export: impl Fn(OtlpSink) + Send + Sync + 'static) {
    let holder = Arc::new(Mutex::new(None));
    let (ended, is_ended) = mpsc::channel();
    let sink = spans_only(|config| config.batch_size(1))
        .span_exporter(Owner {
            sink: Arc::clone(&holder),
            during_export,
            ended,
        })
        .start();
    let mut events = crate::rig::events(2).into_iter();
    // The lock holds the export back.
    let mut held = holder.lock().unwrap();
    events.by_ref().take(2).for_each(|event| sink.emit(event));
    *held = Some(sink);
    drop(held);
    is_ended.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn dropping_the_last_clone_in_an_exporter_shuts_the_sink_down() {
    export_with_the_sink(drop);
}

#[test]
fn a_flush_in_an_exporter_does_not_wait_for_itself() {
    export_with_the_sink(|sink| {
        let began = Instant::now();
        sink.blocking_flush(PATIENCE).unwrap_err();
        assert!(began.elapsed() < PATIENCE);
    });
}
