//! TLS handshakes that either side rejects.

use std::time::Duration;

use codex_telemetry::{
    OtlpConfig, OtlpSink,
    otlp::{
        Signal,
        config::{OtlpConfigBuilder, Protocol},
    },
};

use super::{
    content::{SPANS, make_calls},
    subprocess::in_subprocess,
};
use crate::{
    receiver::{Pki, Receiver, Tls},
    rig::PATIENCE,
};

/// Returns the protocols with a receiver for each.
pub(super) fn receivers(tls: impl Fn() -> Tls) -> Vec<(Protocol, Receiver)> {
    vec![
        (Protocol::HttpProtobuf, Receiver::https(tls())),
        #[cfg(feature = "grpc")]
        (Protocol::Grpc, Receiver::grpcs(tls())),
    ]
}

/// Exports over a connection whose handshake fails, and returns the reported problem.
#[track_caller]
fn problem_of(
    protocol: Protocol,
    receiver: &Receiver,
    tls: impl FnOnce(OtlpConfigBuilder) -> OtlpConfigBuilder,
) -> String {
    let config = OtlpConfig::builder().endpoint(&receiver.endpoint());
    let config = tls(config.protocol(protocol)).build().unwrap();
    let sink = OtlpSink::start(config);
    make_calls(sink.clone());
    let undelivered = sink.blocking_shutdown(Duration::from_secs(2)).unwrap_err();
    let refused = |receiver: &Receiver| !receiver.connection_failures().is_empty();
    receiver.wait_until("a failed handshake", PATIENCE, refused);
    assert_eq!(receiver.requests().len(), 0);
    let stats = sink.stats();
    for signal in Signal::ALL {
        let stats = stats.of(signal);
        assert!(stats.accepted >= SPANS);
        assert_eq!(
            (stats.exported, stats.failed),
            (0, stats.accepted),
            "{signal}"
        );
    }
    let problem = undelivered.problem(Signal::Traces).unwrap();
    assert!(problem.starts_with(&receiver.endpoint()), "{problem}");
    problem.to_owned()
}

#[test]
fn a_receiver_with_an_unknown_authority_is_rejected_and_reported() {
    let pki = Pki::new();
    for (protocol, receiver) in receivers(|| Tls::server_only(&pki)) {
        let problem = problem_of(protocol, &receiver, |config| {
            config.ca_file(&pki.untrusted_ca)
        });
        assert!(problem.contains("certificate"), "{protocol}: {problem}");
    }
}

#[test]
fn a_receiver_that_the_system_roots_do_not_trust_is_rejected() {
    let pki = Pki::new();
    for (protocol, receiver) in receivers(|| Tls::server_only(&pki)) {
        problem_of(protocol, &receiver, |config| config);
    }
}

#[test]
fn a_receiver_that_requires_a_client_certificate_rejects_missing_and_unknown_ones() {
    let pki = Pki::new();
    for (protocol, receiver) in receivers(|| Tls::mutual(&pki)) {
        problem_of(protocol, &receiver, |config| config.ca_file(&pki.ca));
        let stranger = |config: OtlpConfigBuilder| {
            let config = config.ca_file(&pki.ca);
            config.client_certificate_file(&pki.untrusted_cert, &pki.untrusted_key)
        };
        problem_of(protocol, &receiver, stranger);
    }
}

#[test]
fn the_system_roots_are_trusted_by_default() {
    const ENDPOINT: &str = "CODEX_TELEMETRY_TEST_ENDPOINT";
    const PROTOCOL: &str = "CODEX_TELEMETRY_TEST_PROTOCOL";
    let name = "tls::the_system_roots_are_trusted_by_default";
    if let Ok(endpoint) = std::env::var(ENDPOINT) {
        let protocol = std::env::var(PROTOCOL).unwrap();
        let with_warnings = OtlpConfig::from_variables([
            ("CODEX_OTLP_ENDPOINT", endpoint),
            ("CODEX_OTLP_PROTOCOL", protocol),
        ]);
        let sink = OtlpSink::start(with_warnings.config.unwrap());
        make_calls(sink.clone());
        return sink.blocking_shutdown(PATIENCE).unwrap();
    }
    let pki = Pki::new();
    for (protocol, receiver) in receivers(|| Tls::server_only(&pki)) {
        let variables = [
            ("SSL_CERT_FILE", pki.ca.to_str().unwrap()),
            (ENDPOINT, &receiver.endpoint()),
            (PROTOCOL, &protocol.to_string()),
        ];
        in_subprocess(name, &variables).expect("this is the outer process");
        assert_eq!(receiver.spans().len(), 7, "{protocol}");
    }
}
