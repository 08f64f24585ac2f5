//! The queue is bounded: a full one drops events and counts them.

use std::time::Duration;

use codex_telemetry::{
    Call, CallContext, Operation, Sink as _, TimingLayer,
    otlp::{Signal, config::LogSelection},
};
use futures_util::FutureExt as _;
use opentelemetry::KeyValue;
use tower::{Layer as _, Service as _, service_fn};

use crate::rig::{
    Gate, Gated, PATIENCE, Wire, calls, emit, events, only, pending_at_shutdown, spans_only,
};

const SOON: Duration = Duration::from_millis(200);

#[test]
fn a_full_queue_drops_and_counts_events_without_blocking() {
    let gate = Gate::closed();
    let exporter = Gated::blocking(&gate);
    let sink = spans_only(|config| config.queue_capacity(100).batch_size(1))
        .span_exporter(exporter.clone())
        .start();
    calls(sink.clone(), 1);
    // From here on, the export thread is blocked.
    gate.wait_for_export();
    let before = sink.stats().traces;
    emit(&sink, 1000);
    let traces = sink.stats().traces;
    assert_eq!(traces.accepted - before.accepted, 100, "{traces:?}");
    assert_eq!(traces.dropped - before.dropped, 900, "{traces:?}");
    gate.open();
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
    let traces = sink.stats().traces;
    assert_eq!((traces.exported, traces.pending), (101, 0), "{traces:?}");
    assert_eq!(exporter.spans().len(), 101);
}

#[test]
fn a_blocking_exporter_does_not_delay_a_flush_or_a_shutdown_past_its_deadline() {
    let gate = Gate::closed();
    let exporter = Gated::blocking(&gate);
    let sink = spans_only(|config| config.batch_size(1))
        .span_exporter(exporter.clone())
        .start();
    calls(sink.clone(), 3);
    gate.wait_for_export();
    let undelivered = sink.blocking_flush(SOON).unwrap_err();
    assert_eq!(undelivered.pending(Signal::Traces), 3, "{undelivered}");
    let undelivered = sink.blocking_shutdown(SOON).unwrap_err();
    assert_eq!(undelivered.pending(Signal::Traces), 3, "{undelivered}");
    assert!(
        undelivered.to_string().contains("did not respond"),
        "{undelivered}"
    );
    // The sink is shut down nevertheless.
    emit(&sink, 1);
    assert_eq!(sink.stats().traces.dropped, 1);
    assert_eq!(
        sink.stats().traces.pending,
        3,
        "the batch may still be exported"
    );
    gate.open();
}

#[test]
fn a_full_buffer_fails_new_records_and_keeps_the_old_ones() {
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
        // Moves the event from the queue to the buffer.
        let undelivered = sink.blocking_flush(Duration::ZERO).unwrap_err();
        assert!(undelivered.pending(Signal::Traces) <= 11, "{undelivered}");
    }
    let traces = sink.stats().traces;
    assert_eq!((traces.accepted, traces.dropped), (101, 0));
    assert_eq!((traces.failed, traces.pending), (90, 11), "{traces:?}");
    gate.open();
    assert_eq!(pending_at_shutdown(&sink, Signal::Traces), 0);
    assert_eq!(sink.stats().traces.exported, 11);
    let arrived = exporter.spans();
    let ids = arrived.iter().map(|span| span.span_context.span_id());
    let kept = terminal[..10].iter().map(|event| event.span_id());
    assert!(ids.skip(1).eq(kept), "the oldest ones in order");
}

#[test]
fn a_flush_reports_the_records_that_it_drops() {
    let gate = Gate::closed();
    let hour = Duration::from_secs(3600);
    let sink = spans_only(|config| config.queue_capacity(10).schedule_delay(hour))
        .span_exporter(Gated::waiting(&gate))
        .start();
    let ends = events(100).into_iter();
    let mut ends = ends.filter(|event| event.kind().is_terminal());
    // One active record, and ten in the buffer. Each step has too few events to wake the export thread,
    // so that only the flushes move them.
    for count in [1, 4, 4, 2] {
        ends.by_ref().take(count).for_each(|event| sink.emit(event));
        sink.blocking_flush(Duration::ZERO).unwrap_err();
        if sink.stats().traces.accepted == 1 {
            gate.wait_for_export();
        }
    }
    ends.take(4).for_each(|event| sink.emit(event));
    let undelivered = sink.blocking_flush(SOON).unwrap_err();
    assert_eq!(
        undelivered.failed(Signal::Traces),
        4,
        "{undelivered} {}",
        sink.stats()
    );
    assert_eq!(undelivered.pending(Signal::Traces), 11, "{undelivered}");
    let problem = undelivered.problem(Signal::Traces).unwrap_or_default();
    assert!(problem.contains("slower"), "{undelivered}");
    gate.open();
}

#[test]
fn a_disabled_signal_counts_nothing() {
    let sink = spans_only(|config| config)
        .span_exporter(Gated::waiting(&Gate::closed()))
        .start();
    emit(&sink, 3);
    let stats = sink.stats();
    assert_eq!(stats.logs, Default::default());
    assert_eq!(stats.metrics, Default::default());
    assert_eq!(stats.traces.accepted, 3);
    let _ = sink.blocking_shutdown(Duration::ZERO);
    assert_eq!(sink.stats().traces.failed, 3);
}

#[test]
fn a_queue_that_is_full_by_its_size_drops_and_counts_events() {
    fills_the_queue(|context| context.record("text", "x".repeat(16 << 10)));
    // Those of a span event count as well.
    fills_the_queue(|context| {
        let text = |n| KeyValue::new(format!("text {n}"), "x".repeat(8 << 10));
        context.add_event_with("snapshot", [text(1), text(2)]);
    });
}

/// Makes calls that record 16 KiB each, until a queue is full by its size.
fn fills_the_queue(record: fn(&CallContext)) {
    let gate = Gate::closed();
    // Half a megabyte for the queue, in calls of 16 KiB each.
    let sink = spans_only(|config| config.batch_size(1).queue_bytes(3 << 19))
        .span_exporter(Gated::blocking(&gate))
        .start();
    calls(sink.clone(), 1);
    gate.wait_for_export();
    let large = service_fn(async |call: Call<()>| {
        record(&call.context);
        Ok::<_, ()>(())
    });
    let mut service = TimingLayer::new(sink.clone()).layer(large);
    for _ in 0..100 {
        let done = service.call(Call::new(Operation::Tool, ())).now_or_never();
        assert_eq!(done, Some(Ok(())));
    }
    let traces = sink.stats().traces;
    assert_eq!(traces.accepted + traces.dropped, 101, "{traces:?}");
    assert!((20..=33).contains(&traces.accepted), "{traces:?}");
    gate.open();
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
}

#[test]
fn log_records_that_are_not_selected_are_filtered() {
    let receiver = Wire::Http.receiver();
    let config = Wire::Http.config(&receiver.endpoint());
    let sink = only(Signal::Logs, config.log_selection(LogSelection::Exceptions));
    calls(sink.clone(), 3);
    assert_eq!(sink.blocking_flush(PATIENCE), Ok(()));
    let logs = sink.stats().logs;
    assert_eq!((logs.accepted, logs.exported, logs.filtered), (3, 0, 3));
    assert_eq!((logs.failed, logs.pending), (0, 0));
    assert!(sink.stats().to_string().contains("3 filtered"));
}
