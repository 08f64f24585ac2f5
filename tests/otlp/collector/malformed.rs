//! A success by its status, with a body that is not OTLP.

use codex_telemetry::otlp::Signal;

use crate::{
    receiver::MockResponse,
    rig::{PATIENCE, Wire, calls, only},
};

/// Asserts that a response fails the batch, which is not sent again, and that a later batch is exported.
#[track_caller]
fn assert_failed(wire: Wire, response: MockResponse) {
    let receiver = wire.receiver();
    receiver.respond_next(1, response);
    let endpoint = receiver.endpoint();
    let sink = only(Signal::Traces, wire.config(&endpoint));
    calls(sink.clone(), 2);
    let undelivered = sink.blocking_flush(PATIENCE).unwrap_err();
    assert_eq!(undelivered.failed(Signal::Traces), 2, "{undelivered}");
    let traces = sink.stats().traces;
    assert_eq!((traces.exported, traces.failed), (0, 2), "{wire:?}");
    let problem = sink.problem(Signal::Traces).expect("a problem");
    assert!(problem.starts_with(&endpoint), "{wire:?} {problem}");
    assert!(
        problem.contains("not OTLP") || problem.contains("not with gRPC"),
        "{problem}"
    );
    assert!(problem.len() < 1000, "{} bytes", problem.len());
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{wire:?}");
    assert_eq!(sink.problem(Signal::Traces), None, "{wire:?}");
    assert_eq!(receiver.requests().len(), 2, "nothing is sent twice");
}

/// Asserts that a body is a success, and that every record is exported.
#[track_caller]
fn assert_exported(wire: Wire, body: &[u8]) {
    let receiver = wire.receiver();
    receiver.respond_with(MockResponse::Body200(body.to_vec()));
    for signal in Signal::ALL {
        let sink = only(signal, wire.config(&receiver.endpoint()));
        calls(sink.clone(), 2);
        assert_eq!(
            sink.blocking_flush(PATIENCE),
            Ok(()),
            "{wire:?} {signal} {body:?}"
        );
        let stats = sink.stats();
        let stats = stats.of(signal);
        assert_eq!(stats.exported, stats.accepted, "{wire:?} {signal}");
        assert_eq!(sink.problem(signal), None, "{wire:?} {signal}");
    }
}

#[test]
fn a_page_of_html_with_status_200_fails_the_batch() {
    for &wire in Wire::ALL {
        assert_failed(wire, MockResponse::Page);
        // Also with the content type of OTLP.
        let page = b"<html>\xff it works! </html>".to_vec();
        assert_failed(wire, MockResponse::Body200(page));
    }
}

#[test]
fn a_garbled_body_with_status_200_fails_the_batch() {
    for &wire in Wire::ALL {
        for garbled in [
            &[0xff; 20][..],
            b"\x0a\x04\x12",
            b"{\"partialSuccess\":",
            b"ok",
        ] {
            assert_failed(wire, MockResponse::Body200(garbled.to_vec()));
        }
    }
}

#[test]
fn a_large_body_is_not_read_completely() {
    for wire in [Wire::Http, Wire::Json] {
        assert_failed(wire, MockResponse::Body200(vec![b'x'; 16 << 20]));
    }
}

#[test]
fn an_empty_body_with_status_200_is_a_success() {
    for &wire in Wire::ALL {
        assert_exported(wire, b"");
    }
}

#[test]
fn a_body_without_a_partial_success_is_a_success() {
    for wire in [Wire::Http, Wire::Json] {
        assert_exported(wire, b"{}");
        assert_exported(wire, b"{\"partialSuccess\":{}}");
    }
    for &wire in Wire::TRANSPORTS {
        // An empty partial success.
        assert_exported(wire, b"\x0a\x00");
        // A field that is not known yet.
        assert_exported(wire, b"\x50\x01");
    }
}
