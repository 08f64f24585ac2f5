//! A success by its status, with a body that is not OTLP.

use codex_telemetry::otlp::Signal;

use crate::{
    receiver::MockResponse,
    rig::{PATIENCE, Wire, calls, only},
};

#[test]
fn a_malformed_body_with_status_200_is_a_problem_and_fails_nothing() {
    for wire in [Wire::Http, Wire::Json] {
        let receiver = wire.receiver();
        let page = b"<html>\xff it works! </html>".to_vec();
        receiver.respond_next(1, MockResponse::Body200(page));
        let endpoint = receiver.endpoint();
        let sink = only(Signal::Traces, wire.config(&endpoint));
        calls(sink.clone(), 2);
        // By the protocol, status 200 means that the data was accepted.
        assert_eq!(sink.flush(PATIENCE), Ok(()), "{wire:?}");
        let traces = sink.stats().traces;
        assert_eq!((traces.exported, traces.failed), (2, 0), "{wire:?}");
        let problem = sink.problem(Signal::Traces).expect("a problem");
        assert!(problem.contains(&endpoint), "{wire:?} {problem}");
        assert!(problem.contains("not OTLP"), "{wire:?} {problem}");
        // A success clears the problem.
        calls(sink.clone(), 1);
        assert_eq!(sink.flush(PATIENCE), Ok(()), "{wire:?}");
        assert_eq!(sink.problem(Signal::Traces), None, "{wire:?}");
        assert_eq!(receiver.requests().len(), 2, "nothing is sent twice");
    }
}

#[test]
fn an_empty_body_with_status_200_is_a_success() {
    for wire in [Wire::Http, Wire::Json] {
        let receiver = wire.receiver();
        receiver.respond_with(MockResponse::Body200(Vec::new()));
        let sink = only(Signal::Traces, wire.config(&receiver.endpoint()));
        calls(sink.clone(), 2);
        assert_eq!(sink.flush(PATIENCE), Ok(()), "{wire:?}");
        assert_eq!(sink.stats().traces.exported, 2);
    }
}

#[test]
fn a_large_body_is_not_read_completely() {
    let receiver = Wire::Http.receiver();
    receiver.respond_next(1, MockResponse::Body200(vec![b'x'; 16 << 20]));
    let sink = only(Signal::Traces, Wire::Http.config(&receiver.endpoint()));
    calls(sink.clone(), 1);
    assert_eq!(sink.flush(PATIENCE), Ok(()));
    let problem = sink.problem(Signal::Traces).expect("a problem");
    assert!(problem.len() < 1000, "{} bytes", problem.len());
}

#[cfg(feature = "grpc")]
#[test]
fn a_malformed_body_over_grpc_is_a_rejection() {
    let receiver = Wire::Grpc.receiver();
    receiver.respond_next(1, MockResponse::Body200(vec![0xff; 20]));
    let sink = only(Signal::Traces, Wire::Grpc.config(&receiver.endpoint()));
    calls(sink.clone(), 2);
    let undelivered = sink.flush(PATIENCE).unwrap_err();
    assert_eq!(undelivered.failed(Signal::Traces), 2, "{undelivered}");
    assert_eq!(receiver.requests().len(), 1);
    calls(sink.clone(), 1);
    assert_eq!(sink.flush(PATIENCE), Ok(()));
}
