//! The kinds of errors of a probe over HTTP.

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
    receiver::{MockResponse, Pki, Receiver, Tls, blackhole, closed_port},
    rig::PATIENCE,
};

/// Probes an endpoint, and asserts that an error contains the endpoint and no secret.
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
fn kind_of_response(response: MockResponse) -> Kind {
    let receiver = Receiver::http();
    receiver.respond_with(response);
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
fn an_unknown_host_is_a_dns_error() {
    assert_eq!(kind("http://collector.invalid:4318"), Kind::Dns);
}

#[test]
fn a_closed_port_is_refused() {
    assert_eq!(kind(&closed_port()), Kind::Refused);
}

#[test]
fn rejected_credentials_are_unauthorized() {
    for status in [401, 403] {
        let kind = kind_of_response(MockResponse::Status(status));
        assert_eq!(kind, Kind::Unauthorized, "{status}");
    }
}

#[test]
fn an_unknown_path_or_method_is_not_found() {
    let receiver = Receiver::http();
    assert_eq!(kind(&(receiver.endpoint() + "/elsewhere")), Kind::NotFound);
    assert_eq!(receiver.requests()[0].path, "/elsewhere/v1/traces");
    for status in [404, 405] {
        let kind = kind_of_response(MockResponse::Status(status));
        assert_eq!(kind, Kind::NotFound, "{status}");
    }
}

#[test]
fn a_response_that_is_not_otlp_is_a_wrong_protocol() {
    let page = MockResponse::Body200(b"<html>Welcome to nginx!</html>".to_vec());
    assert_eq!(kind_of_response(page), Kind::WrongProtocol);
    let kind = kind_of_response(MockResponse::Status(415));
    assert_eq!(kind, Kind::WrongProtocol);
}

#[test]
fn a_receiver_of_another_protocol_is_a_wrong_protocol() {
    let receiver = Receiver::grpc();
    for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson] {
        let error = probed(&receiver.endpoint(), protocol, PATIENCE, |config| config);
        let error = error.unwrap_err();
        assert_eq!(error.kind(), Kind::WrongProtocol, "{error}");
    }
}

#[test]
fn a_receiver_that_does_not_respond_is_a_timeout() {
    let receiver = Receiver::http();
    receiver.respond_with(MockResponse::Hang);
    let (_listener, silent) = blackhole();
    let short = Duration::from_millis(300);
    for endpoint in [&receiver.endpoint(), &silent] {
        // The timeout of the probe, and that of a request.
        let result = probed(endpoint, Protocol::HttpProtobuf, short, |config| config);
        assert_eq!(result.unwrap_err().kind(), Kind::Timeout);
        let timeout = |config: OtlpConfigBuilder| config.timeout(short);
        let result = probed(endpoint, Protocol::HttpProtobuf, PATIENCE, timeout);
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
    }
}

#[test]
fn a_failed_handshake_is_a_tls_error() {
    let pki = Pki::new();
    let https = Receiver::https(Tls::server_only(&pki));
    let mutual = Receiver::https(Tls::mutual(&pki));
    let plain = Receiver::http();
    let over_tls = plain.endpoint().replace("http:", "https:");
    for (case, endpoint, ca) in [
        ("an unknown authority", https.endpoint(), &pki.untrusted_ca),
        ("no client certificate", mutual.endpoint(), &pki.ca),
        ("TLS to a plain port", over_tls, &pki.ca),
    ] {
        let trust = |config: OtlpConfigBuilder| config.ca_file(ca);
        let result = probed(&endpoint, Protocol::HttpProtobuf, PATIENCE, trust);
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Tls, "{case}: {error}");
    }
}

#[test]
fn plain_http_to_a_tls_port_is_a_wrong_protocol() {
    let pki = Pki::new();
    let https = Receiver::https(Tls::server_only(&pki));
    // The TLS alert of the receiver is not HTTP.
    let plainly = https.endpoint().replace("https:", "http:");
    let error = probed(&plainly, Protocol::HttpProtobuf, PATIENCE, |config| config);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::WrongProtocol);
    assert!(error.to_string().contains("check scheme"), "{error}");
}

#[test]
fn the_kind_does_not_depend_on_the_name_of_the_endpoint() {
    let receiver = Receiver::http();
    let endpoint = receiver.endpoint() + "/tls/certificate/timed%20out";
    assert_eq!(kind(&endpoint), Kind::NotFound);
}

#[test]
fn a_missing_file_is_a_config_error() {
    let pki = Pki::new();
    let trust = |config: OtlpConfigBuilder| config.ca_file(pki.missing());
    let result = probed(
        "https://localhost:1",
        Protocol::HttpProtobuf,
        PATIENCE,
        trust,
    );
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("missing.pem"), "{error}");
}

#[test]
fn disabled_traces_are_an_error() {
    let config = OtlpConfig::builder()
        .signals([Signal::Logs])
        .build()
        .unwrap();
    let error = probe(&config, PATIENCE).unwrap_err();
    assert_eq!(error.kind(), Kind::Off);
}

#[test]
fn another_rejection_has_the_message_of_the_receiver() {
    let receiver = Receiver::http();
    let message = "no room for spans".to_owned();
    receiver.respond_with(MockResponse::PartialSuccess {
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
    receiver.respond_with(MockResponse::Status(503));
    let error = probed(
        &receiver.endpoint(),
        Protocol::HttpProtobuf,
        PATIENCE,
        |c| c,
    );
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::Other);
    let message = ": the receiver responded with status 503: the configured message; ";
    assert!(error.to_string().contains(message), "{error}");
    assert_eq!(kind_of_response(MockResponse::CloseMidway), Kind::Other);
}
