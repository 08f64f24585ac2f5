//! Answers that are refusals, and which of them are tried again.

use codex_telemetry::otlp::Signal;

use crate::{
    receiver::{Behaviour, Receiver},
    rig::{PATIENCE, Wire, all_arrived, calls, only},
};

/// Statuses as the transports have them: over gRPC, 429 comes without a `RetryInfo`, and is final so.
fn retryable(wire: Wire) -> &'static [u16] {
    match wire {
        Wire::Http | Wire::Json => &[429, 502, 503, 504],
        #[cfg(feature = "grpc")]
        Wire::Grpc => &[408, 502, 503, 504],
    }
}

fn refusals(wire: Wire) -> &'static [u16] {
    match wire {
        Wire::Http | Wire::Json => &[400, 401, 403, 404, 408, 413, 415, 500, 501],
        #[cfg(feature = "grpc")]
        Wire::Grpc => &[400, 401, 403, 404, 429, 500],
    }
}

fn statuses(receiver: &Receiver) -> Vec<Option<u16>> {
    let requests = receiver.requests();
    requests.iter().map(|request| request.status()).collect()
}

#[test]
fn what_the_protocol_calls_retryable_is_tried_again_until_it_is_taken() {
    for &wire in Wire::TRANSPORTS {
        for &status in retryable(wire) {
            let receiver = wire.receiver();
            receiver.behave_next(2, Behaviour::Status(status));
            let sink = only(Signal::Traces, wire.config(&receiver.endpoint()));
            calls(sink.clone(), 3);
            assert_eq!(sink.flush(PATIENCE), Ok(()), "{wire:?} {status}");
            // Twice in vain, then once for good.
            assert_eq!(receiver.requests().len(), 3, "{wire:?} {status}");
            assert_eq!(receiver.spans().len(), 3);
            let traces = sink.stats().traces;
            assert_eq!((traces.accepted, traces.exported, traces.failed), (3, 3, 0));
            assert_eq!(sink.problem(Signal::Traces), None, "{wire:?} {status}");
        }
    }
}

#[test]
fn what_is_refused_for_good_is_sent_once_and_counted_with_the_endpoint_and_the_words() {
    for &wire in Wire::TRANSPORTS {
        for &status in refusals(wire) {
            let receiver = wire.receiver();
            receiver.behave_next(1, Behaviour::Status(status));
            let endpoint = receiver.endpoint();
            let sink = only(Signal::Traces, wire.config(&endpoint));
            calls(sink.clone(), 2);
            let told = sink.flush(PATIENCE).unwrap_err();
            assert_eq!(told.failed(Signal::Traces), 2, "{told}");
            assert_eq!(told.pending(Signal::Traces), 0, "{told}");
            let problem = told.problem(Signal::Traces).unwrap();
            assert!(problem.contains(&endpoint), "{problem}");
            let words = "the receiver was told to answer so";
            assert!(problem.contains(words), "{wire:?} {status}: {problem}");
            if statuses(&receiver) == [Some(status)] {
                assert!(problem.contains(&status.to_string()), "{problem}");
            }
            // Neither is it sent again, nor does it stand in the way of what comes after it.
            calls(sink.clone(), 1);
            assert_eq!(sink.flush(PATIENCE), Ok(()), "{wire:?} {status}");
            assert_eq!(receiver.requests().len(), 2, "{wire:?} {status}");
            let traces = sink.stats().traces;
            assert_eq!((traces.accepted, traces.exported, traces.failed), (3, 1, 2));
            assert_eq!(sink.problem(Signal::Traces), None, "it was made good");
        }
    }
}

#[test]
fn a_refusal_is_told_also_when_the_batch_after_it_was_taken() {
    for &wire in Wire::TRANSPORTS {
        let receiver = wire.receiver();
        receiver.behave_next(1, Behaviour::Status(400));
        let config = wire.config(&receiver.endpoint()).batch_size(1);
        let sink = only(Signal::Traces, config);
        calls(sink.clone(), 3);
        let told = sink.shutdown(PATIENCE).unwrap_err();
        assert_eq!(told.failed(Signal::Traces), 1, "{wire:?} {told}");
        let problem = told.problem(Signal::Traces).unwrap_or_default();
        assert!(problem.contains(&receiver.endpoint()), "{wire:?} {told}");
        assert_eq!(sink.stats().traces.exported, 2, "{wire:?}");
    }
}

#[test]
fn a_redirect_is_not_followed_and_counts_as_a_refusal() {
    for &wire in Wire::TRANSPORTS {
        let (receiver, elsewhere) = (wire.receiver(), wire.receiver());
        let there = elsewhere.endpoint() + "/v1/traces";
        receiver.behave_next(1, Behaviour::Redirect(there));
        let sink = only(Signal::Traces, wire.config(&receiver.endpoint()));
        calls(sink.clone(), 1);
        let told = sink.flush(PATIENCE).unwrap_err();
        assert_eq!(told.failed(Signal::Traces), 1, "{wire:?} {told}");
        assert_eq!(elsewhere.connections(), 0);
        assert_eq!(receiver.requests().len(), 1);
    }
}

#[test]
fn every_signal_has_its_own_books_and_a_refusal_of_one_is_none_of_the_others() {
    for &wire in Wire::ALL {
        let (good, bad) = (wire.receiver(), wire.receiver());
        bad.behave(Behaviour::Status(400));
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
        let told = sink.flush(PATIENCE).unwrap_err();
        let failed = Signal::ALL.map(|signal| told.failed(signal));
        assert_eq!(Signal::ALL.map(|signal| told.pending(signal)), [0; 3]);
        let stats = sink.stats();
        assert_eq!(told.failed(Signal::Logs), 8, "{wire:?} {told}");
        assert_eq!(failed.iter().sum::<u64>(), 8, "{wire:?} {told}");
        assert_eq!((stats.traces.exported, stats.metrics.exported), (4, 8));
        assert_eq!((stats.logs.exported, stats.logs.failed), (0, 8));
    }
}

#[test]
fn everything_arrives_at_a_collector_that_behaves() {
    for &wire in Wire::ALL {
        let receiver = wire.receiver();
        let config = wire.config(&receiver.endpoint());
        let sink = codex_telemetry::OtlpSink::start(config.build().unwrap());
        calls(sink.clone(), 50);
        assert_eq!(sink.shutdown(PATIENCE), Ok(()), "{wire:?}");
        all_arrived(&sink, 50);
        assert_eq!(receiver.spans().len(), 50);
        assert_eq!(receiver.logs().len(), 100);
    }
}
