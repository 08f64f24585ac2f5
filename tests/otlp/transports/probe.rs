//! The probe over HTTP: each thing that may be wrong has its kind.

use std::time::Duration;

use codex_telemetry::{
    OtlpConfig,
    otlp::{
        ProbeError, ProbeErrorKind as Kind, Signal,
        config::{OtlpConfigBuilder, Protocol},
        probe,
    },
};

use crate::{
    receiver::{Behaviour, Pki, Receiver, Tls, blackhole, closed_port},
    signals::support::PATIENCE,
};

/// Probes an endpoint, and asserts that what is told names it and no secret.
#[track_caller]
pub(super) fn probed(
    endpoint: &str,
    protocol: Protocol,
    within: Duration,
    configure: impl FnOnce(OtlpConfigBuilder) -> OtlpConfigBuilder,
) -> Result<(), ProbeError> {
    let config = OtlpConfig::builder()
        .endpoint(endpoint)
        .protocol(protocol)
        .header("authorization", "Bearer s3cret");
    let probed = probe(&configure(config).build().unwrap(), within);
    if let Err(error) = &probed {
        let text = error.to_string();
        assert!(text.contains(endpoint), "{text}");
        assert!(!format!("{text} {error:?}").contains("s3cret"), "{text}");
    }
    probed
}

#[track_caller]
fn kind(endpoint: &str) -> Kind {
    let error = probed(endpoint, Protocol::HttpProtobuf, PATIENCE, |config| config);
    error.unwrap_err().kind()
}

#[track_caller]
fn kind_of_answer(behaviour: Behaviour) -> Kind {
    let receiver = Receiver::http();
    receiver.behave(behaviour);
    kind(&receiver.endpoint())
}

#[test]
fn a_probe_that_succeeds_leaves_exactly_one_span() {
    for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson] {
        let receiver = Receiver::http();
        let config = |config: OtlpConfigBuilder| config.service_name("release-bot");
        probed(&receiver.endpoint(), protocol, PATIENCE, config).unwrap();
        let spans = receiver.spans();
        assert_eq!(spans.len(), 1);
        assert_eq!(spans[0].name, "codex.telemetry.probe");
        assert_eq!(spans[0].origin.resource["service.name"], "release-bot");
        assert_eq!(spans[0].parent_span_id, None);
        assert_eq!(receiver.requests().len(), 1);
        let secret = receiver.requests().remove(0).headers["authorization"].clone();
        assert_eq!(secret, "Bearer s3cret");
    }
}

#[test]
fn a_name_that_nobody_knows_is_told() {
    assert_eq!(kind("http://collector.invalid:4318"), Kind::Dns);
}

#[test]
fn a_port_that_nobody_listens_on_is_told() {
    assert_eq!(kind(&closed_port()), Kind::Refused);
}

#[test]
fn credentials_that_are_refused_are_told() {
    for status in [401, 403] {
        let told = kind_of_answer(Behaviour::Status(status));
        assert_eq!(told, Kind::Unauthorized, "{status}");
    }
}

#[test]
fn a_path_or_method_that_is_not_there_is_told() {
    let receiver = Receiver::http();
    assert_eq!(kind(&(receiver.endpoint() + "/elsewhere")), Kind::NotFound);
    assert_eq!(receiver.requests()[0].path, "/elsewhere/v1/traces");
    for status in [404, 405] {
        let told = kind_of_answer(Behaviour::Status(status));
        assert_eq!(told, Kind::NotFound, "{status}");
    }
}

#[test]
fn an_answer_that_is_not_otlp_is_told() {
    let page = Behaviour::Body200(b"<html>Welcome to nginx!</html>".to_vec());
    assert_eq!(kind_of_answer(page), Kind::WrongProtocol);
    let told = kind_of_answer(Behaviour::Status(415));
    assert_eq!(told, Kind::WrongProtocol);
}

#[test]
fn a_receiver_of_another_protocol_is_told() {
    let receiver = Receiver::grpc();
    for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson] {
        let error = probed(&receiver.endpoint(), protocol, PATIENCE, |config| config);
        let error = error.unwrap_err();
        assert_eq!(error.kind(), Kind::WrongProtocol, "{error}");
    }
}

#[test]
fn a_receiver_that_does_not_answer_is_told() {
    let receiver = Receiver::http();
    receiver.behave(Behaviour::Hang);
    let (_listener, silent) = blackhole();
    let short = Duration::from_millis(300);
    for endpoint in [&receiver.endpoint(), &silent] {
        // By the deadline of the probe, and by that of a request.
        let told = probed(endpoint, Protocol::HttpProtobuf, short, |config| config);
        assert_eq!(told.unwrap_err().kind(), Kind::Timeout);
        let timeout = |config: OtlpConfigBuilder| config.timeout(short);
        let told = probed(endpoint, Protocol::HttpProtobuf, PATIENCE, timeout);
        let error = told.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
    }
}

#[test]
fn tls_that_does_not_come_about_is_told() {
    let pki = Pki::new();
    let https = Receiver::https(Tls::server_only(&pki));
    let mutual = Receiver::https(Tls::mutual(&pki));
    let plain = Receiver::http();
    let over_tls = plain.endpoint().replace("http:", "https:");
    for (case, endpoint, ca) in [
        ("an unknown authority", https.endpoint(), &pki.stranger_ca),
        ("no client certificate", mutual.endpoint(), &pki.ca),
        ("TLS to a plain port", over_tls, &pki.ca),
    ] {
        let trust = |config: OtlpConfigBuilder| config.ca_file(ca);
        let told = probed(&endpoint, Protocol::HttpProtobuf, PATIENCE, trust);
        let error = told.unwrap_err();
        assert_eq!(error.kind(), Kind::Tls, "{case}: {error}");
    }
}

#[test]
fn a_port_of_tls_that_is_asked_in_the_plain_is_told() {
    let pki = Pki::new();
    let https = Receiver::https(Tls::server_only(&pki));
    // It answers in TLS, which is known for something else than HTTP, and for no more.
    let plainly = https.endpoint().replace("https:", "http:");
    let error = probed(&plainly, Protocol::HttpProtobuf, PATIENCE, |config| config);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::WrongProtocol);
    assert!(error.to_string().contains("check scheme"), "{error}");
}

#[test]
fn the_kind_does_not_come_from_the_name_of_the_endpoint() {
    let receiver = Receiver::http();
    let endpoint = receiver.endpoint() + "/tls/certificate/timed%20out";
    assert_eq!(kind(&endpoint), Kind::NotFound);
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let pki = Pki::new();
    let trust = |config: OtlpConfigBuilder| config.ca_file(pki.missing());
    let told = probed(
        "https://localhost:1",
        Protocol::HttpProtobuf,
        PATIENCE,
        trust,
    );
    let error = told.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("missing.pem"), "{error}");
}

#[test]
fn traces_that_are_off_are_told() {
    let config = OtlpConfig::builder()
        .signals([Signal::Logs])
        .build()
        .unwrap();
    let error = probe(&config, PATIENCE).unwrap_err();
    assert_eq!(error.kind(), Kind::Off);
}

#[test]
fn a_refusal_of_another_kind_is_told_in_the_receivers_words() {
    let receiver = Receiver::http();
    let message = "no room for spans".to_owned();
    receiver.behave(Behaviour::PartialSuccess {
        rejected: 1,
        message,
    });
    let error = probed(
        &receiver.endpoint(),
        Protocol::HttpProtobuf,
        PATIENCE,
        |c| c,
    );
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::Other);
    assert!(error.to_string().contains("no room for spans"), "{error}");
    receiver.behave(Behaviour::Status(503));
    let error = probed(
        &receiver.endpoint(),
        Protocol::HttpProtobuf,
        PATIENCE,
        |c| c,
    );
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::Other);
    let words = ": it answered 503: the receiver was told to answer so; ";
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(kind_of_answer(Behaviour::CloseMidway), Kind::Other);
}
