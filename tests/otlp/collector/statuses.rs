//! Error statuses: rejections and retries.

use std::time::Duration;

use codex_telemetry::otlp::Signal;
use opentelemetry::KeyValue;

use crate::{
    receiver::{MockResponse, Receiver},
    rig::{PATIENCE, Wire, assert_all_exported, calls, only},
};

/// Returns the retryable statuses. Over gRPC, 429 is a rejection without a `RetryInfo`.
fn retryable(wire: Wire) -> &'static [u16] {
    match wire {
        Wire::Http | Wire::Json => &[429, 502, 503, 504],
        #[cfg(feature = "grpc")]
        Wire::Grpc => &[408, 502, 503, 504],
    }
}

fn rejections(wire: Wire) -> &'static [u16] {
    match wire {
        Wire::Http | Wire::Json => &[400, 401, 403, 404, 408, 415, 500, 501],
        #[cfg(feature = "grpc")]
        Wire::Grpc => &[400, 401, 403, 404, 429, 500],
    }
}

fn statuses(receiver: &Receiver) -> Vec<Option<u16>> {
    let requests = receiver.requests();
    requests.iter().map(|request| request.status()).collect()
}

#[test]
fn retryable_statuses_are_retried_until_the_batch_is_accepted() {
    for &wire in Wire::TRANSPORTS {
        for &status in retryable(wire) {
            let receiver = wire.receiver();
            receiver.respond_next(2, MockResponse::Status(status));
            let sink = only(Signal::Traces, wire.config(&receiver.endpoint()));
            calls(sink.clone(), 3);
            assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{wire:?} {status}");
            // Two failures and one success.
            assert_eq!(receiver.requests().len(), 3, "{wire:?} {status}");
            assert_eq!(receiver.spans().len(), 3);
            let traces = sink.stats().traces;
            assert_eq!((traces.accepted, traces.exported, traces.failed), (3, 3, 0));
            assert_eq!(sink.problem(Signal::Traces), None, "{wire:?} {status}");
        }
    }
}

#[test]
fn a_rejected_batch_is_sent_once_and_reported_with_endpoint_and_message() {
    for &wire in Wire::TRANSPORTS {
        for &status in rejections(wire) {
            let receiver = wire.receiver();
            receiver.respond_next(1, MockResponse::Status(status));
            let endpoint = receiver.endpoint();
            let sink = only(Signal::Traces, wire.config(&endpoint));
            calls(sink.clone(), 2);
            let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
            assert_eq!(undelivered.failed(Signal::Traces), 2, "{undelivered}");
            assert_eq!(undelivered.pending(Signal::Traces), 0, "{undelivered}");
            let problem = undelivered.problem(Signal::Traces).unwrap();
            assert!(problem.contains(&endpoint), "{problem}");
            let message = "the configured message";
            assert!(problem.contains(message), "{wire:?} {status}: {problem}");
            if statuses(&receiver) == [Some(status)] {
                assert!(problem.contains(&status.to_string()), "{problem}");
            }
            // It is not sent again, and later records are exported.
            calls(sink.clone(), 1);
            assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{wire:?} {status}");
            assert_eq!(receiver.requests().len(), 2, "{wire:?} {status}");
            let traces = sink.stats().traces;
            assert_eq!((traces.accepted, traces.exported, traces.failed), (3, 1, 2));
            assert_eq!(sink.problem(Signal::Traces), None, "a success clears it");
        }
    }
}

#[test]
fn a_rejected_batch_is_reported_even_if_a_later_one_is_accepted() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.respond_next(1, MockResponse::Status(400));
        let config = wire.config(&receiver.endpoint()).batch_size(1);
        let sink = only(Signal::Traces, config);
        calls(sink.clone(), 3);
        let undelivered = sink.blocking_shutdown(PATIENCE).unwrap_err();
        assert_eq!(
            undelivered.failed(Signal::Traces),
            1,
            "{wire:?} {undelivered}"
        );
        let problem = undelivered.problem(Signal::Traces).unwrap_or_default();
        assert!(
            problem.contains(&receiver.endpoint()),
            "{wire:?} {undelivered}"
        );
        assert_eq!(sink.stats().traces.exported, 2, "{wire:?}");
    }
}

#[test]
fn a_redirect_is_not_followed_and_rejects_the_batch() {
    for &wire in Wire::TRANSPORTS {
        let (receiver, elsewhere) = (wire.receiver(), wire.receiver());
        let there = elsewhere.endpoint() + "/v1/traces";
        receiver.respond_next(1, MockResponse::Redirect(there));
        let sink = only(Signal::Traces, wire.config(&receiver.endpoint()));
        calls(sink.clone(), 1);
        let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
        assert_eq!(
            undelivered.failed(Signal::Traces),
            1,
            "{wire:?} {undelivered}"
        );
        assert_eq!(elsewhere.connections(), 0);
        assert_eq!(receiver.requests().len(), 1);
    }
}

#[test]
fn a_rejection_of_one_signal_does_not_affect_the_others() {
    for &wire in Wire::ALL {
        let (good, bad) = (wire.receiver(), wire.receiver());
        bad.respond_with(MockResponse::Status(400));
        let path = match wire {
            Wire::Http | Wire::Json => "/v1/logs",
            #[cfg(feature = "grpc")]
            Wire::Grpc => "",
        };
        let config = wire
            .config(&good.endpoint())
            .signal_endpoint(Signal::Logs, &(bad.endpoint() + path));
        let sink = codex_telemetry::OtlpSink::start(config.build().unwrap());
        calls(sink.clone(), 4);
        let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
        let failed = Signal::ALL.map(|signal| undelivered.failed(signal));
        assert_eq!(
            Signal::ALL.map(|signal| undelivered.pending(signal)),
            [0; 3]
        );
        let stats = sink.stats();
        assert_eq!(
            undelivered.failed(Signal::Logs),
            8,
            "{wire:?} {undelivered}"
        );
        assert_eq!(failed.iter().sum::<u64>(), 8, "{wire:?} {undelivered}");
        assert_eq!((stats.traces.exported, stats.metrics.exported), (4, 8));
        assert_eq!((stats.logs.exported, stats.logs.failed), (0, 8));
    }
}

#[test]
fn a_working_collector_receives_everything() {
    for &wire in Wire::ALL {
        let receiver = wire.receiver();
        let config = wire.config(&receiver.endpoint());
        let sink = codex_telemetry::OtlpSink::start(config.build().unwrap());
        calls(sink.clone(), 50);
        assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()), "{wire:?}");
        assert_all_exported(&sink, 50);
        assert_eq!(receiver.spans().len(), 50);
        assert_eq!(receiver.logs().len(), 100);
    }
}

#[test]
fn a_retry_after_that_is_a_date_is_waited_for() {
    let retry_after = Duration::from_secs(2);
    let receiver = Receiver::http();
    receiver.respond_next(1, MockResponse::StatusWithRetryDate(503, retry_after));
    let sink = only(Signal::Traces, Wire::Http.config(&receiver.endpoint()));
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_flush(PATIENCE), Ok(()));
    let requests = receiver.requests();
    let delay = requests[1].received_at - requests[0].received_at;
    assert!(delay >= retry_after, "{delay:?}");
    // The clock of the receiver is an hour fast.
    assert!(delay < PATIENCE, "{delay:?}");
}

#[test]
fn a_receiver_without_a_signal_is_reported_with_the_remedy() {
    for &wire in Wire::TRANSPORTS {
        let statuses: &[u16] = match wire {
            Wire::Http | Wire::Json => &[404, 405],
            #[cfg(feature = "grpc")]
            Wire::Grpc => &[501],
        };
        for &status in statuses {
            for signal in Signal::ALL {
                let receiver = wire.receiver();
                receiver.respond_with(MockResponse::Status(status));
                let sink = only(signal, wire.config(&receiver.endpoint()));
                calls(sink.clone(), 1);
                let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
                let problem = undelivered.problem(signal).unwrap();
                let cause = format!("if the receiver does not take {signal}");
                assert!(problem.contains(&cause), "{wire:?} {status}: {problem}");
                let remedy = "leave them out of the signals";
                assert!(problem.contains(remedy), "{wire:?} {status}: {problem}");
            }
        }
    }
}

#[test]
fn a_request_above_the_limit_is_not_sent() {
    for &wire in Wire::ALL {
        for gzip in [false, true] {
            let receiver = wire.receiver();
            let text = KeyValue::new("text", "long ".repeat(300));
            let config = wire.config(&receiver.endpoint()).resource_attribute(text);
            let config = config.message_bytes(1024);
            let sink = only(Signal::Traces, config.gzip(gzip));
            calls(sink.clone(), 1);
            let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
            assert_eq!(undelivered.failed(Signal::Traces), 1, "{wire:?}");
            let problem = undelivered.problem(Signal::Traces).unwrap();
            assert!(problem.contains("the limit is 1024"), "{wire:?} {problem}");
            assert_eq!(receiver.requests().len(), 0, "{wire:?}");
        }
    }
}
