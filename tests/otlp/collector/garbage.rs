//! A success by its status, and no OTLP behind it.

use codex_telemetry::otlp::Signal;

use crate::{
    receiver::Behaviour,
    rig::{PATIENCE, Wire, calls, only},
};

#[test]
fn garbage_behind_a_200_is_no_failure_but_is_told() {
    for wire in [Wire::Http, Wire::Json] {
        let receiver = wire.receiver();
        let page = b"<html>\xff it works! </html>".to_vec();
        receiver.behave_next(1, Behaviour::Body200(page));
        let endpoint = receiver.endpoint();
        let sink = only(Signal::Traces, wire.config(&endpoint));
        calls(sink.clone(), 2);
        // The status is the protocol's answer, and it says that the data is taken.
        assert_eq!(sink.flush(PATIENCE), Ok(()), "{wire:?}");
        let traces = sink.stats().traces;
        assert_eq!((traces.exported, traces.failed), (2, 0), "{wire:?}");
        let problem = sink.problem(Signal::Traces).expect("a problem");
        assert!(problem.contains(&endpoint), "{wire:?} {problem}");
        assert!(problem.contains("not OTLP"), "{wire:?} {problem}");
        // Until it is made good.
        calls(sink.clone(), 1);
        assert_eq!(sink.flush(PATIENCE), Ok(()), "{wire:?}");
        assert_eq!(sink.problem(Signal::Traces), None, "{wire:?}");
        assert_eq!(receiver.requests().len(), 2, "nothing is sent twice");
    }
}

#[test]
fn an_empty_200_is_a_success() {
    for wire in [Wire::Http, Wire::Json] {
        let receiver = wire.receiver();
        receiver.behave(Behaviour::Body200(Vec::new()));
        let sink = only(Signal::Traces, wire.config(&receiver.endpoint()));
        calls(sink.clone(), 2);
        assert_eq!(sink.flush(PATIENCE), Ok(()), "{wire:?}");
        assert_eq!(sink.stats().traces.exported, 2);
    }
}

#[test]
fn an_endless_page_is_not_read_to_its_end() {
    let receiver = Wire::Http.receiver();
    receiver.behave_next(1, Behaviour::Body200(vec![b'x'; 16 << 20]));
    let sink = only(Signal::Traces, Wire::Http.config(&receiver.endpoint()));
    calls(sink.clone(), 1);
    assert_eq!(sink.flush(PATIENCE), Ok(()));
    let problem = sink.problem(Signal::Traces).expect("a problem");
    assert!(problem.len() < 1000, "{} bytes", problem.len());
}

#[cfg(feature = "grpc")]
#[test]
fn garbage_over_grpc_is_a_failure_that_is_not_tried_again() {
    let receiver = Wire::Grpc.receiver();
    receiver.behave_next(1, Behaviour::Body200(vec![0xff; 20]));
    let sink = only(Signal::Traces, Wire::Grpc.config(&receiver.endpoint()));
    calls(sink.clone(), 2);
    let told = sink.flush(PATIENCE).unwrap_err();
    assert_eq!(told.failed(Signal::Traces), 2, "{told}");
    assert_eq!(receiver.requests().len(), 1);
    calls(sink.clone(), 1);
    assert_eq!(sink.flush(PATIENCE), Ok(()));
}
