//! A custom exporter that panics fails its records and nothing else.

use std::{
    future::{Future, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use codex_telemetry::otlp::Signal;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};

use crate::rig::{PATIENCE, Recorder, calls, spans_only};

/// An exporter that panics while `is_broken`, in `export` or in its future.
#[derive(Clone, Debug, Default)]
struct Panicking {
    is_broken: Arc<AtomicBool>,
    in_future: bool,
    recorder: Recorder,
}

impl SpanExporter for Panicking {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let is_broken = self.is_broken.load(Relaxed);
        assert!(!is_broken || self.in_future, "a panic in export");
        async move {
            tokio::task::yield_now().await;
            assert!(!is_broken, "a panic in the future");
            self.recorder.export(batch).await
        }
    }
}

#[test]
fn a_panicking_exporter_fails_its_batch_and_gets_the_next_one() {
    for in_future in [false, true] {
        let exporter = Panicking {
            in_future,
            ..Panicking::default()
        };
        exporter.is_broken.store(true, Relaxed);
        let sink = spans_only(|config| config)
            .span_exporter(exporter.clone())
            .start();
        calls(sink.clone(), 3);
        let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
        assert_eq!(undelivered.failed(Signal::Traces), 3, "{undelivered}");
        let problem = undelivered.problem(Signal::Traces).unwrap_or_default();
        assert!(problem.contains("panic"), "{undelivered}");
        assert!(
            problem.contains("a panic "),
            "the panic message: {undelivered}"
        );
        exporter.is_broken.store(false, Relaxed);
        calls(sink.clone(), 2);
        assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
        let traces = sink.stats().traces;
        assert_eq!((traces.exported, traces.failed), (2, 3));
        assert_eq!(exporter.recorder.spans().len(), 2);
    }
}

/// An exporter that never finishes, and whose future panics when it is dropped.
#[derive(Debug)]
struct PanicsWhenDropped;

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a panic in a drop");
    }
}

impl SpanExporter for PanicsWhenDropped {
    fn export(&self, _: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let bomb = Bomb;
        poll_fn(move |_| {
            let _ = &bomb;
            Poll::Pending
        })
    }
}

#[test]
fn an_exporter_that_panics_in_a_drop_fails_its_batch_and_no_flush_hangs() {
    let sink = spans_only(|config| config.max_age(Duration::from_millis(50)))
        .span_exporter(PanicsWhenDropped)
        .start();
    for _ in 0..2 {
        calls(sink.clone(), 3);
        let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
        assert_eq!(undelivered.failed(Signal::Traces), 3, "{undelivered}");
        let problem = undelivered.problem(Signal::Traces).unwrap_or_default();
        assert!(problem.contains("a panic in a drop"), "{undelivered}");
    }
}

/// An exporter that panics before the first export.
#[derive(Debug)]
struct PanicsAtTheStart;

impl SpanExporter for PanicsAtTheStart {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, _: &Resource) {
        panic!("a panic in set_resource");
    }
}

#[test]
fn a_panicked_export_thread_is_reported_and_its_records_fail() {
    let sink = spans_only(|config| config)
        .span_exporter(PanicsAtTheStart)
        .start();
    calls(sink.clone(), 2);
    // The events may come before or after the end of the thread.
    for _ in 0..2 {
        let undelivered = sink.blocking_flush(PATIENCE);
        let traces = sink.stats().traces;
        assert_eq!(traces.exported, 0);
        assert_eq!(traces.pending, 0, "{traces:?} {undelivered:?}");
        assert_eq!(traces.failed + traces.dropped, 2, "{traces:?}");
    }
    calls(sink.clone(), 1);
    let traces = sink.stats().traces;
    assert_eq!(traces.pending, 0, "{traces:?}");
    assert!(sink.problem(Signal::Traces).is_some());
    let _ = sink.blocking_shutdown(Duration::from_secs(1));
}
