//! An exporter of the application's own that panics hurts nobody and is told as what it is.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use codex_telemetry::otlp::Signal;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};

use crate::rig::{Counting, PATIENCE, calls, spans_only};

/// Panics while it is told to, at once or while it is awaited.
#[derive(Clone, Debug, Default)]
struct Panicking {
    now: Arc<AtomicBool>,
    awaited: bool,
    taken: Counting,
}

impl SpanExporter for Panicking {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let bad = self.now.load(Relaxed);
        assert!(!bad || self.awaited, "a panic before there is a future");
        async move {
            tokio::task::yield_now().await;
            assert!(!bad, "a panic in the future");
            self.taken.export(batch).await
        }
    }
}

#[test]
fn a_panicking_exporter_fails_its_batch_and_gets_the_next_one() {
    for awaited in [false, true] {
        let exporter = Panicking {
            awaited,
            ..Panicking::default()
        };
        exporter.now.store(true, Relaxed);
        let sink = spans_only(|config| config)
            .span_exporter(exporter.clone())
            .start();
        calls(sink.clone(), 3);
        let told = sink.flush(PATIENCE).unwrap_err();
        assert_eq!(told.failed(Signal::Traces), 3, "{told}");
        let problem = told.problem(Signal::Traces).unwrap_or_default();
        assert!(problem.contains("panic"), "{told}");
        assert!(problem.contains("a panic "), "its own words: {told}");
        exporter.now.store(false, Relaxed);
        calls(sink.clone(), 2);
        assert_eq!(sink.shutdown(PATIENCE), Ok(()));
        let traces = sink.stats().traces;
        assert_eq!((traces.exported, traces.failed), (2, 3));
        assert_eq!(exporter.taken.spans().len(), 2);
    }
}

/// Panics where nobody awaits it.
#[derive(Debug)]
struct PanicsAtTheStart;

impl SpanExporter for PanicsAtTheStart {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, _: &Resource) {
        panic!("no resource is wanted here");
    }
}

#[test]
fn an_export_thread_that_is_gone_is_told_and_its_records_have_failed() {
    let sink = spans_only(|config| config)
        .span_exporter(PanicsAtTheStart)
        .start();
    calls(sink.clone(), 2);
    // Whether they came before the thread's end or after it.
    for _ in 0..2 {
        let told = sink.flush(PATIENCE);
        let traces = sink.stats().traces;
        assert_eq!(traces.exported, 0);
        assert_eq!(traces.pending(), 0, "{traces:?} {told:?}");
        assert_eq!(traces.failed + traces.dropped, 2, "{traces:?}");
    }
    calls(sink.clone(), 1);
    let traces = sink.stats().traces;
    assert_eq!(traces.pending(), 0, "{traces:?}");
    assert!(sink.problem(Signal::Traces).is_some());
    let _ = sink.shutdown(Duration::from_secs(1));
}
