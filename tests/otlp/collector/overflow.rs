//! More events than the queue and the buffers hold, while the collector is down.

use std::time::Duration;

use codex_telemetry::{Sink as _, otlp::Signal};

use crate::rig::{PATIENCE, Wire, calls, events, only, pending_at_shutdown};

const CAPACITY: usize = 100;

/// The capacity of the queue, of the buffer behind it and of the active batch.
const MAX_PENDING: u64 = 3 * 100;

#[test]
fn events_beyond_the_capacity_are_counted_and_the_others_arrive() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.stop();
        let config = wire.config(&receiver.endpoint()).queue_capacity(CAPACITY);
        let sink = only(Signal::Logs, config);
        for _ in 0..20 {
            calls(sink.clone(), 30);
            // Moves events from the queue to the buffer, until both are full.
            let _ = sink.blocking_flush(Duration::from_millis(1));
        }
        let logs = sink.stats().logs;
        assert_eq!(logs.accepted + logs.dropped, 1200, "{wire:?} {logs:?}");
        assert!(logs.pending <= MAX_PENDING, "{wire:?} {logs:?}");
        assert!(logs.pending >= 100, "{wire:?} {logs:?}");
        assert!(logs.failed + logs.dropped >= 1200 - MAX_PENDING, "{logs:?}");
        receiver.restart();
        let kept = usize::try_from(logs.pending).unwrap();
        receiver.wait_for_logs(kept);
        assert_eq!(pending_at_shutdown(&sink, Signal::Logs), 0, "{wire:?}");
        let after = sink.stats().logs;
        assert_eq!(after.exported, logs.pending, "{wire:?} {after:?}");
        assert_eq!(after.failed, logs.failed, "{wire:?} {after:?}");
        assert_eq!(receiver.logs().len(), kept, "{wire:?}");
    }
}

#[test]
fn the_oldest_records_are_kept_in_order() {
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
    let _ = sink.blocking_flush(Duration::from_millis(1));
    receiver.restart();
    assert_eq!(pending_at_shutdown(&sink, Signal::Traces), 0);
    let sent = events.iter().filter(|event| event.kind().is_terminal());
    let mut sent = sent.map(|event| event.span_id().to_string());
    let arrived = receiver.spans();
    assert!(arrived.len() >= CAPACITY / 2, "{}", arrived.len());
    for span in arrived {
        // A subsequence: some are missing, the others are in order.
        assert!(sent.any(|id| id == span.span_id), "{span:?}");
    }
}

#[test]
fn a_flush_waits_for_old_records_while_new_ones_are_dropped() {
    let receiver = Wire::Http.receiver();
    receiver.stop();
    let config = Wire::Http
        .config(&receiver.endpoint())
        .queue_capacity(CAPACITY);
    let sink = only(Signal::Logs, config);
    // Fills the buffer behind the active batch.
    while sink.stats().logs.failed == 0 {
        calls(sink.clone(), 30);
        let _ = sink.blocking_flush(Duration::from_millis(1));
    }
    let waiting = sink.stats().logs.pending;
    let undelivered = std::thread::scope(|scope| {
        let flush = scope.spawn(|| sink.blocking_flush(PATIENCE));
        let failed = sink.stats().logs.failed;
        // More new records fail meanwhile than the flush waits for.
        while sink.stats().logs.failed < failed + 2 * waiting && !flush.is_finished() {
            calls(sink.clone(), 30);
            let _ = sink.blocking_flush(Duration::from_millis(1));
        }
        assert!(!flush.is_finished(), "{:?}", flush.join());
        receiver.restart();
        flush.join().unwrap()
    });
    let pending = undelivered.map_or_else(|undelivered| undelivered.pending(Signal::Logs), |()| 0);
    assert_eq!(pending, 0, "it had enough time");
    assert!(sink.stats().logs.exported >= waiting);
}
