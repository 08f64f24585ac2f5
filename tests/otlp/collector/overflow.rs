//! More than there is room for, while the collector is away.

use std::time::Duration;

use codex_telemetry::{Sink as _, otlp::Signal};

use crate::rig::{PATIENCE, Wire, calls, events, left_at_the_end, only};

const CAPACITY: usize = 100;

/// What the queue, the backlog behind it and the batch under way may hold.
const ROOM: u64 = 3 * 100;

#[test]
fn what_does_not_fit_while_the_collector_is_away_is_counted_and_the_rest_arrives() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.stop();
        let config = wire.config(&receiver.endpoint()).queue_capacity(CAPACITY);
        let sink = only(Signal::Logs, config);
        for _ in 0..20 {
            calls(sink.clone(), 30);
            // Everything is taken out of the queue, so that more comes in than there is room for.
            let _ = sink.flush(Duration::from_millis(1));
        }
        let logs = sink.stats().logs;
        assert_eq!(logs.accepted + logs.dropped, 1200, "{wire:?} {logs:?}");
        assert!(logs.pending() <= ROOM, "{wire:?} {logs:?}");
        assert!(logs.pending() >= 100, "{wire:?} {logs:?}");
        assert!(logs.failed + logs.dropped >= 1200 - ROOM, "{logs:?}");
        receiver.restart();
        let kept = usize::try_from(logs.pending()).unwrap();
        receiver.wait_for_logs(kept);
        assert_eq!(left_at_the_end(&sink, Signal::Logs), 0, "{wire:?}");
        let after = sink.stats().logs;
        assert_eq!(after.exported, logs.pending(), "{wire:?} {after:?}");
        assert_eq!(after.failed, logs.failed, "{wire:?} {after:?}");
        assert_eq!(receiver.logs().len(), kept, "{wire:?}");
    }
}

#[test]
fn what_arrives_of_it_is_the_oldest_in_its_order() {
    let receiver = Wire::Http.receiver();
    receiver.stop();
    let config = Wire::Http
        .config(&receiver.endpoint())
        .queue_capacity(CAPACITY);
    let sink = only(Signal::Traces, config);
    let events = events(2000);
    for event in &events {
        sink.emit(event.clone());
    }
    let _ = sink.flush(Duration::from_millis(1));
    receiver.restart();
    assert_eq!(left_at_the_end(&sink, Signal::Traces), 0);
    let sent = events.iter().filter(|event| event.kind().is_terminal());
    let mut sent = sent.map(|event| event.span_id().to_string());
    let arrived = receiver.spans();
    assert!(arrived.len() >= CAPACITY / 2, "{}", arrived.len());
    for span in arrived {
        // A subsequence: some are missing, none is out of its place.
        assert!(sent.any(|id| id == span.span_id), "{span:?}");
    }
}

#[test]
fn a_flush_waits_for_what_is_older_even_while_newer_records_find_no_room() {
    let receiver = Wire::Http.receiver();
    receiver.stop();
    let config = Wire::Http
        .config(&receiver.endpoint())
        .queue_capacity(CAPACITY);
    let sink = only(Signal::Logs, config);
    // As much as there is room for, and one batch that is under way.
    while sink.stats().logs.failed == 0 {
        calls(sink.clone(), 30);
        let _ = sink.flush(Duration::from_millis(1));
    }
    let waiting = sink.stats().logs.pending();
    let told = std::thread::scope(|scope| {
        let flush = scope.spawn(|| sink.flush(PATIENCE));
        let failed = sink.stats().logs.failed;
        // Newer records fail meanwhile, as many as the flush waits for.
        while sink.stats().logs.failed < failed + 2 * waiting && !flush.is_finished() {
            calls(sink.clone(), 30);
            let _ = sink.flush(Duration::from_millis(1));
        }
        assert!(!flush.is_finished(), "{:?}", flush.join());
        receiver.restart();
        flush.join().unwrap()
    });
    let pending = told.map_or_else(|told| told.pending(Signal::Logs), |()| 0);
    assert_eq!(pending, 0, "it had time enough");
    assert!(sink.stats().logs.exported >= waiting);
}
