//! The queue is bounded: full means drop and count.

use std::time::Duration;

use codex_telemetry::{Sink as _, otlp::Signal};

use crate::rig::{Gate, Gated, PATIENCE, calls, emit, events, left_at_the_end, spans_only};

const SOON: Duration = Duration::from_millis(200);

#[test]
fn a_full_queue_drops_and_counts_and_never_waits() {
    let gate = Gate::closed();
    let exporter = Gated::blocking(&gate);
    let sink = spans_only(|config| config.queue_capacity(100).batch_size(1))
        .span_exporter(exporter.clone())
        .start();
    calls(sink.clone(), 1);
    // From here on nobody takes anything out of the queue, and no call may wait for it.
    gate.wait_for_export();
    let before = sink.stats().traces;
    emit(&sink, 1000);
    let traces = sink.stats().traces;
    // A hundred events, of which every other is a span.
    assert_eq!(traces.accepted - before.accepted, 50, "{traces:?}");
    assert_eq!(traces.dropped - before.dropped, 950, "{traces:?}");
    gate.open();
    assert_eq!(sink.shutdown(PATIENCE), Ok(()));
    let traces = sink.stats().traces;
    assert_eq!((traces.exported, traces.pending()), (51, 0), "{traces:?}");
    assert_eq!(exporter.spans().len(), 51);
}

#[test]
fn an_exporter_that_blocks_its_thread_holds_up_no_flush_and_no_shutdown_past_its_deadline() {
    let gate = Gate::closed();
    let exporter = Gated::blocking(&gate);
    let sink = spans_only(|config| config.batch_size(1))
        .span_exporter(exporter.clone())
        .start();
    calls(sink.clone(), 3);
    gate.wait_for_export();
    let told = sink.flush(SOON).unwrap_err();
    assert_eq!(told.pending(Signal::Traces), 3, "{told}");
    let told = sink.shutdown(SOON).unwrap_err();
    assert_eq!(told.pending(Signal::Traces), 3, "{told}");
    assert!(told.to_string().contains("did not answer"), "{told}");
    // It is shut down all the same.
    emit(&sink, 1);
    assert_eq!(sink.stats().traces.dropped, 1);
    assert_eq!(sink.stats().traces.pending(), 3, "nobody knows better yet");
    gate.open();
}

#[test]
fn a_backlog_that_is_full_fails_what_comes_and_keeps_what_it_has() {
    let gate = Gate::closed();
    let exporter = Gated::waiting(&gate);
    let sink = spans_only(|config| config.queue_capacity(10).batch_size(1))
        .span_exporter(exporter.clone())
        .start();
    calls(sink.clone(), 1);
    gate.wait_for_export();
    let terminal: Vec<_> = events(100)
        .into_iter()
        .filter(|event| event.kind().is_terminal())
        .collect();
    for event in &terminal {
        sink.emit(event.clone());
        // Out of the queue, into the backlog.
        let told = sink.flush(Duration::ZERO).unwrap_err();
        assert!(told.pending(Signal::Traces) <= 11, "{told}");
    }
    let traces = sink.stats().traces;
    assert_eq!((traces.accepted, traces.dropped), (101, 0));
    assert_eq!((traces.failed, traces.pending()), (90, 11), "{traces:?}");
    gate.open();
    assert_eq!(left_at_the_end(&sink, Signal::Traces), 0);
    assert_eq!(sink.stats().traces.exported, 11);
    let arrived = exporter.spans();
    let ids = arrived.iter().map(|span| span.span_context.span_id());
    let kept = terminal[..10].iter().map(|event| event.span_id());
    assert!(ids.skip(1).eq(kept), "the oldest, in their order");
}

#[test]
fn a_flush_that_sees_records_lost_says_so() {
    let gate = Gate::closed();
    let hour = Duration::from_secs(3600);
    let sink = spans_only(|config| config.queue_capacity(10).schedule_delay(hour))
        .span_exporter(Gated::waiting(&gate))
        .start();
    let ends = events(100).into_iter();
    let mut ends = ends.filter(|event| event.kind().is_terminal());
    // One that is under way, and ten behind it. Fewer at once than wake the export thread, so that
    // the flushes alone take them out of the queue.
    for count in [1, 4, 4, 2] {
        ends.by_ref().take(count).for_each(|event| sink.emit(event));
        sink.flush(Duration::ZERO).unwrap_err();
        if sink.stats().traces.accepted == 1 {
            gate.wait_for_export();
        }
    }
    ends.take(4).for_each(|event| sink.emit(event));
    let told = sink.flush(SOON).unwrap_err();
    assert_eq!(told.failed(Signal::Traces), 4, "{told} {}", sink.stats());
    assert_eq!(told.pending(Signal::Traces), 11, "{told}");
    let problem = told.problem(Signal::Traces).unwrap_or_default();
    assert!(problem.contains("slower"), "{told}");
    gate.open();
}

#[test]
fn a_signal_that_is_off_counts_nothing() {
    let sink = spans_only(|config| config)
        .span_exporter(Gated::waiting(&Gate::closed()))
        .start();
    emit(&sink, 3);
    let stats = sink.stats();
    assert_eq!(stats.logs, Default::default());
    assert_eq!(stats.metrics, Default::default());
    assert_eq!(stats.traces.accepted, 3);
    let _ = sink.shutdown(Duration::ZERO);
    assert_eq!(sink.stats().traces.failed, 3);
}
