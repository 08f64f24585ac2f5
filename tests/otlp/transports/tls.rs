//! TLS that is refused, by either side.

use std::time::Duration;

use codex_telemetry::{
    OtlpConfig, OtlpSink,
    otlp::{
        Signal,
        config::{OtlpConfigBuilder, Protocol},
    },
};

use super::{
    alone::alone,
    content::{SPANS, make_calls},
};
use crate::{
    receiver::{Pki, Receiver, Tls},
    signals::support::PATIENCE,
};

/// The protocols, each with its receiver.
pub(super) fn receivers(tls: impl Fn() -> Tls) -> Vec<(Protocol, Receiver)> {
    vec![
        (Protocol::HttpProtobuf, Receiver::https(tls())),
        #[cfg(feature = "grpc")]
        (Protocol::Grpc, Receiver::grpcs(tls())),
    ]
}

/// Exports by a connection that does not come about, and returns what is told of it.
#[track_caller]
fn told_of(
    protocol: Protocol,
    receiver: &Receiver,
    tls: impl FnOnce(OtlpConfigBuilder) -> OtlpConfigBuilder,
) -> String {
    let config = OtlpConfig::builder().endpoint(&receiver.endpoint());
    let config = tls(config.protocol(protocol)).build().unwrap();
    let sink = OtlpSink::start(config);
    make_calls(sink.clone());
    let undelivered = sink.shutdown(Duration::from_secs(2)).unwrap_err();
    let refused = |receiver: &Receiver| !receiver.connection_failures().is_empty();
    receiver.wait_until("a refused handshake", PATIENCE, refused);
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
fn a_receiver_of_an_unknown_authority_is_not_trusted_and_that_is_told() {
    let pki = Pki::new();
    for (protocol, receiver) in receivers(|| Tls::server_only(&pki)) {
        let problem = told_of(protocol, &receiver, |config| {
            config.ca_file(&pki.stranger_ca)
        });
        assert!(problem.contains("certificate"), "{protocol}: {problem}");
    }
}

#[test]
fn the_systems_authorities_do_not_vouch_for_a_receiver_of_ours() {
    let pki = Pki::new();
    for (protocol, receiver) in receivers(|| Tls::server_only(&pki)) {
        told_of(protocol, &receiver, |config| config);
    }
}

#[test]
fn a_receiver_that_demands_a_client_certificate_takes_nothing_without_one() {
    let pki = Pki::new();
    for (protocol, receiver) in receivers(|| Tls::mutual(&pki)) {
        told_of(protocol, &receiver, |config| config.ca_file(&pki.ca));
        let stranger = |config: OtlpConfigBuilder| {
            let config = config.ca_file(&pki.ca);
            config.client_certificate_file(&pki.stranger_cert, &pki.stranger_key)
        };
        told_of(protocol, &receiver, stranger);
    }
}

#[test]
fn the_systems_authorities_are_trusted_when_no_other_is_named() {
    const ENDPOINT: &str = "CODEX_TELEMETRY_TEST_ENDPOINT";
    const PROTOCOL: &str = "CODEX_TELEMETRY_TEST_PROTOCOL";
    let name = "tls::the_systems_authorities_are_trusted_when_no_other_is_named";
    if let Ok(endpoint) = std::env::var(ENDPOINT) {
        let protocol = std::env::var(PROTOCOL).unwrap();
        let setup = OtlpConfig::from_variables([
            ("CODEX_OTLP_ENDPOINT", endpoint),
            ("CODEX_OTLP_PROTOCOL", protocol),
        ]);
        let sink = OtlpSink::start(setup.config.unwrap());
        make_calls(sink.clone());
        return sink.shutdown(PATIENCE).unwrap();
    }
    let pki = Pki::new();
    for (protocol, receiver) in receivers(|| Tls::server_only(&pki)) {
        let variables = [
            ("SSL_CERT_FILE", pki.ca.to_str().unwrap()),
            (ENDPOINT, &receiver.endpoint()),
            (PROTOCOL, &protocol.to_string()),
        ];
        alone(name, &variables).expect("this is the outer process");
        assert_eq!(receiver.spans().len(), 7, "{protocol}");
    }
}
