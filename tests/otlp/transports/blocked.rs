//! Files and callbacks that are slow, endless or blocked for ever.

use std::{
    fs,
    sync::{
        Mutex,
        mpsc::{Receiver as Channel, channel},
    },
    time::Duration,
};

use codex_telemetry::{
    OtlpSink,
    otlp::{Signal, config::Protocol},
};
use rustix::fs::{FileType, Mode, mknodat};

use super::{headers::receivers, tls::receivers as tls_receivers};
use crate::{
    receiver::{Pki, Receiver, Tls},
    rig::{PATIENCE, Recorder, Wire, calls, only},
};

/// Waits until the sender is dropped.
fn block(until: &Mutex<Channel<()>>) {
    let _ = until.lock().unwrap().recv();
}

#[test]
fn a_callback_of_headers_that_blocks_delays_no_other_signal() {
    let receiver = Receiver::http();
    let (release, blocked) = channel();
    let blocked = Mutex::new(blocked);
    let config = Wire::Http.config(&receiver.endpoint());
    let config = config.signals([Signal::Logs]).headers_with(move || {
        block(&blocked);
        Ok([("authorization", "s3cret")])
    });
    let spans = Recorder::default();
    let sink = OtlpSink::builder(config.build().unwrap())
        .span_exporter(spans.clone())
        .start();
    for round in 1..=2 {
        calls(sink.clone(), 3);
        let undelivered = sink.blocking_flush(Duration::from_secs(1)).unwrap_err();
        let pending = [Signal::Traces, Signal::Logs].map(|signal| undelivered.pending(signal));
        assert_eq!(pending, [0, 6 * round], "{undelivered}");
    }
    assert_eq!(spans.spans().len(), 6);
    drop(release);
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
    assert_eq!(
        receiver.requests()[0].header("authorization"),
        Some("s3cret")
    );
}

#[test]
fn a_shutdown_does_not_wait_for_a_callback_of_headers_that_blocks() {
    let receiver = Receiver::http();
    let (_never, blocked) = channel();
    let blocked = Mutex::new(blocked);
    let config = Wire::Http
        .config(&receiver.endpoint())
        .headers_with(move || {
            block(&blocked);
            Ok([("authorization", "s3cret")])
        });
    let sink = only(Signal::Traces, config);
    calls(sink.clone(), 1);
    let undelivered = sink
        .blocking_shutdown(Duration::from_millis(300))
        .unwrap_err();
    assert_eq!(undelivered.pending(Signal::Traces), 1);
    // The export thread answered, and ended.
    let text = undelivered.to_string();
    assert!(!text.contains("did not respond"), "{text}");
    assert_eq!(sink.stats().traces.failed, 1);
}

#[test]
fn the_last_headers_are_sent_while_a_callback_blocks() {
    for (protocol, receiver) in receivers() {
        let (release, blocked) = channel();
        let (first, blocked) = (Mutex::new(true), Mutex::new(blocked));
        let config = Wire::Http
            .config(&receiver.endpoint())
            .protocol(protocol)
            .timeout(Duration::from_millis(300))
            .headers_with(move || {
                if !std::mem::take(&mut *first.lock().unwrap()) {
                    block(&blocked);
                }
                Ok([("authorization", "s3cret")])
            });
        let sink = only(Signal::Traces, config);
        for _ in 0..3 {
            calls(sink.clone(), 1);
            assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{protocol}");
        }
        let problem = sink.problem(Signal::Traces).expect("a problem");
        assert!(problem.contains("the last headers are sent"), "{problem}");
        for request in receiver.requests() {
            assert_eq!(request.header("authorization"), Some("s3cret"));
        }
        drop(release);
    }
}

#[test]
fn a_file_of_headers_that_blocks_or_does_not_end_is_invalid() {
    let directory = tempfile::tempdir().unwrap();
    let [fifo, large] = ["fifo", "large"].map(|name| directory.path().join(name));
    mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
    fs::write(&large, "a=".to_owned() + &"b".repeat(2 << 20)).unwrap();
    for (file, reason) in [
        (&*fifo, "not a regular file"),
        ("/dev/zero".as_ref(), "not a regular file"),
        (directory.path(), "not a regular file"),
        (&large, "larger than"),
    ] {
        let receiver = Receiver::http();
        let config = Wire::Http.config(&receiver.endpoint()).headers_file(file);
        let sink = only(Signal::Traces, config);
        calls(sink.clone(), 1);
        sink.blocking_flush(Duration::from_secs(1)).unwrap_err();
        let problem = sink.problem(Signal::Traces).unwrap_or_default();
        assert!(problem.contains(file.to_str().unwrap()), "{problem}");
        assert!(problem.contains(reason), "{problem}");
        assert_eq!(receiver.requests().len(), 0);
    }
}

#[test]
fn a_file_of_certificates_that_blocks_is_invalid() {
    let pki = Pki::new();
    let fifo = pki.missing();
    mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
    for (protocol, receiver) in tls_receivers(|| Tls::mutual(&pki)) {
        let config = Wire::Http.config(&receiver.endpoint()).protocol(protocol);
        let config = config.ca_file(&pki.ca);
        let sink = only(
            Signal::Traces,
            config.client_certificate_file(&pki.client_cert, &fifo),
        );
        calls(sink.clone(), 1);
        let undelivered = sink.blocking_shutdown(PATIENCE).unwrap_err();
        assert_eq!(undelivered.failed(Signal::Traces), 1, "{undelivered}");
        let problem = undelivered.problem(Signal::Traces).unwrap_or_default();
        assert!(problem.contains("not a regular file"), "{problem}");
    }
}

#[test]
fn a_callback_of_headers_runs_with_telemetry_suppressed() {
    let receiver = Receiver::http();
    let config = Wire::Http.config(&receiver.endpoint()).headers_with(|| {
        assert!(opentelemetry::Context::is_current_telemetry_suppressed());
        Ok([("authorization", "s3cret")])
    });
    let sink = only(Signal::Traces, config.protocol(Protocol::HttpJson));
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_shutdown(PATIENCE), Ok(()));
}
