//! Certificates that are renewed while the sink runs.

use std::{fs, path::Path};

use codex_telemetry::{
    OtlpSink,
    otlp::{Signal, config::Protocol},
};

use super::tls::receivers;
use crate::{
    receiver::{Pki, Receiver, Tls},
    rig::{PATIENCE, Wire, calls, only},
};

/// Returns a sink that has exported a span with these files.
fn connected(
    receiver: &Receiver,
    protocol: Protocol,
    pki: &Pki,
    certificate: &Path,
    key: &Path,
) -> OtlpSink {
    let config = Wire::Http
        .config(&receiver.endpoint())
        .protocol(protocol)
        .ca_file(&pki.ca)
        .client_certificate_file(certificate, key);
    let sink = only(Signal::Traces, config);
    calls(sink.clone(), 1);
    assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{protocol}");
    sink
}

#[test]
fn a_renewed_client_certificate_is_used_without_a_restart() {
    let pki = Pki::new();
    for (protocol, receiver) in receivers(|| Tls::mutual(&pki)) {
        let read = |path| fs::read_to_string(path).unwrap();
        let certificate = pki.write("current.pem", &read(&pki.untrusted_cert));
        let key = pki.write("current.key", &read(&pki.untrusted_key));
        let config = Wire::Http
            .config(&receiver.endpoint())
            .protocol(protocol)
            .ca_file(&pki.ca)
            .client_certificate_file(&certificate, &key);
        let sink = only(Signal::Traces, config);
        calls(sink.clone(), 1);
        // The receiver rejects the certificate, and the pipeline retries.
        let failed = sink.blocking_flush(std::time::Duration::from_millis(300));
        assert_eq!(failed.unwrap_err().pending(Signal::Traces), 1, "{protocol}");
        let refused = |receiver: &Receiver| !receiver.connection_failures().is_empty();
        receiver.wait_until("a failed handshake", PATIENCE, refused);
        // Not at once: between the two, the files do not match, and the last ones are used.
        fs::write(&certificate, read(&pki.client_cert)).unwrap();
        fs::write(&key, read(&pki.client_key)).unwrap();
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{protocol}");
        assert_eq!(receiver.spans().len(), 1, "{protocol}");
    }
}

#[test]
fn a_renewed_authority_is_used_without_a_restart() {
    let pki = Pki::new();
    for (protocol, receiver) in receivers(|| Tls::server_only(&pki)) {
        let ca = pki.write(
            "current-ca.pem",
            &fs::read_to_string(&pki.untrusted_ca).unwrap(),
        );
        let config = Wire::Http.config(&receiver.endpoint()).protocol(protocol);
        let sink = only(Signal::Traces, config.ca_file(&ca));
        calls(sink.clone(), 1);
        let failed = sink.blocking_flush(std::time::Duration::from_millis(300));
        assert_eq!(failed.unwrap_err().pending(Signal::Traces), 1, "{protocol}");
        let refused = |receiver: &Receiver| !receiver.connection_failures().is_empty();
        receiver.wait_until("a failed handshake", PATIENCE, refused);
        fs::copy(&pki.ca, &ca).unwrap();
        assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{protocol}");
        assert_eq!(receiver.spans().len(), 1, "{protocol}");
    }
}

#[test]
fn the_last_files_are_used_while_the_renewed_ones_are_invalid_which_is_shown() {
    let pki = Pki::new();
    for (protocol, receiver) in receivers(|| Tls::mutual(&pki)) {
        let key = pki.write("current.key", &fs::read_to_string(&pki.client_key).unwrap());
        let sink = connected(&receiver, protocol, &pki, &pki.client_cert, &key);
        for invalid in ["", "s3cret", "missing"] {
            match invalid {
                "missing" => fs::remove_file(&key).unwrap(),
                text => fs::write(&key, text).unwrap(),
            }
            calls(sink.clone(), 1);
            assert_eq!(
                sink.blocking_flush(PATIENCE),
                Ok(()),
                "{protocol} {invalid}"
            );
            let problem = sink.problem(Signal::Traces).expect("a problem");
            assert!(problem.contains("current.key"), "{problem}");
            assert!(!problem.contains("s3cret"), "{problem}");
        }
    }
}

#[test]
fn the_last_files_are_used_while_certificate_and_key_do_not_match() {
    let pki = Pki::new();
    for (protocol, receiver) in receivers(|| Tls::mutual(&pki)) {
        let read = |path| fs::read_to_string(path).unwrap();
        let certificate = pki.write("half.pem", &read(&pki.client_cert));
        let key = pki.write("half.key", &read(&pki.client_key));
        let sink = connected(&receiver, protocol, &pki, &certificate, &key);
        // As if both were renewed and one is written: the pair does not belong together.
        for (file, other) in [(&key, &pki.untrusted_key), (&key, &pki.client_key)] {
            fs::write(file, read(other)).unwrap();
            calls(sink.clone(), 1);
            assert_eq!(sink.blocking_flush(PATIENCE), Ok(()), "{protocol}");
            let problem = sink.problem(Signal::Traces).unwrap_or_default();
            let is_half = other == &pki.untrusted_key;
            assert_eq!(problem.contains("half.pem"), is_half, "{problem}");
        }
        assert_eq!(receiver.spans().len(), 3, "{protocol}");
    }
}

#[test]
fn a_failure_with_outdated_files_names_the_invalid_one() {
    let pki = Pki::new();
    for (protocol, receiver) in receivers(|| Tls::mutual(&pki)) {
        let key = pki.write("late.key", &fs::read_to_string(&pki.client_key).unwrap());
        let sink = connected(&receiver, protocol, &pki, &pki.client_cert, &key);
        fs::write(&key, "").unwrap();
        for status in [400, 503] {
            receiver.respond_with(crate::receiver::MockResponse::Status(status));
            calls(sink.clone(), 1);
            sink.blocking_flush(std::time::Duration::from_millis(300))
                .unwrap_err();
            let problem = sink.problem(Signal::Traces).expect("a problem");
            assert!(problem.contains("the configured message"), "{problem}");
            assert!(problem.contains("late.key"), "{protocol}: {problem}");
        }
    }
}
