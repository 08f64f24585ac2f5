//! Many threads.

use std::{
    collections::{HashMap, HashSet},
    thread,
};

use codex_telemetry::otlp::Signal;

use crate::rig::{PATIENCE, Recorder, Wire, calls, spans_only};

const THREADS: usize = 8;
const CALLS: usize = 10_000;

/// Makes calls in all threads. Returns the span ids of each thread in order.
fn make_calls(sink: &codex_telemetry::OtlpSink) -> Vec<Vec<opentelemetry::SpanId>> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let ids = std::sync::Mutex::new(Vec::new());
                    let both = |event: codex_telemetry::Event| {
                        if event.kind().is_terminal() {
                            ids.lock().unwrap().push(event.span_id());
                        }
                        codex_telemetry::Sink::emit(sink, event);
                    };
                    crate::rig::events(CALLS).into_iter().for_each(both);
                    ids.into_inner().unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

fn check(capacity: usize, all: bool) {
    let exporter = Recorder::default();
    let sink = spans_only(|config| config.queue_capacity(capacity).queue_bytes(1 << 30))
        .span_exporter(exporter.clone())
        .start();
    let made = make_calls(&sink);
    let _ = sink.blocking_shutdown(PATIENCE);
    let traces = sink.stats().traces;
    let total = u64::try_from(THREADS * CALLS).unwrap();
    assert_eq!(traces.accepted + traces.dropped, total, "{traces:?}");
    assert_eq!(traces.exported + traces.failed, traces.accepted);
    if all {
        assert_eq!(traces.exported, total, "{traces:?}");
    }
    let arrived = exporter.spans();
    assert_eq!(u64::try_from(arrived.len()).unwrap(), traces.exported);
    let ids: Vec<_> = arrived.iter().map(|s| s.span_context.span_id()).collect();
    let unique: HashSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "a span arrived twice");
    let places: HashMap<_, _> = ids.iter().zip(0..).collect::<HashMap<_, usize>>();
    for thread in &made {
        let places: Vec<_> = thread.iter().filter_map(|id| places.get(id)).collect();
        assert!(places.is_sorted(), "a thread's calls are out of order");
    }
}

#[test]
fn events_of_eight_threads_arrive_once_and_in_the_order_of_each_thread() {
    check(1 << 20, true);
}

#[test]
fn the_counters_of_eight_threads_add_up_when_the_queue_is_full() {
    check(64, false);
    check(4096, false);
}

#[test]
fn accepted_equals_exported_plus_failed_plus_pending_at_every_moment() {
    let receiver = Wire::Http.receiver();
    let config = Wire::Http.eager(&receiver.endpoint()).queue_capacity(500);
    let sink = codex_telemetry::OtlpSink::start(config.build().unwrap());
    thread::scope(|scope| {
        let emitting: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| calls(sink.clone(), 2000)))
            .collect();
        let mut last = sink.stats();
        while !emitting.iter().all(thread::ScopedJoinHandle::is_finished) {
            let stats = sink.stats();
            for signal in Signal::ALL {
                let (now, before) = (stats.of(signal), last.of(signal));
                assert!(now.exported + now.failed <= now.accepted, "{stats}");
                assert!(now.accepted >= before.accepted, "{stats}, before: {last}");
                assert!(now.exported >= before.exported, "{stats}, before: {last}");
                assert!(now.failed >= before.failed, "{stats}, before: {last}");
                assert!(now.dropped >= before.dropped, "{stats}, before: {last}");
            }
            last = stats;
        }
    });
    let _ = sink.blocking_shutdown(PATIENCE);
    let stats = sink.stats();
    assert_eq!(stats.traces.accepted + stats.traces.dropped, 8000);
    assert_eq!(stats.logs.accepted + stats.logs.dropped, 16_000);
    for signal in Signal::ALL {
        assert_eq!(stats.of(signal).pending, 0, "{stats}");
    }
    let spans = receiver.spans();
    assert_eq!(u64::try_from(spans.len()).unwrap(), stats.traces.exported);
    let name = |span: &crate::receiver::Span| span.name.clone();
    assert!(spans.iter().all(|span| name(span) == "execute_tool t"));
}
