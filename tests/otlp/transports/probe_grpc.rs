//! The kinds of errors of a probe over gRPC.

use std::time::Duration;

use codex_telemetry::otlp::{
    ProbeErrorKind as Kind,
    config::{OtlpConfigBuilder, Protocol},
};

use super::probe::probed;
use crate::{
    receiver::{MockResponse, Pki, Receiver, Tls, blackhole, closed_port},
    rig::PATIENCE,
};

#[track_caller]
fn kind_and_text(endpoint: &str) -> (Kind, String) {
    let result = probed(endpoint, Protocol::Grpc, PATIENCE, |config| config);
    let error = result.unwrap_err();
    (error.kind(), error.to_string())
}

#[track_caller]
fn kind_and_text_of_response(response: MockResponse) -> (Kind, String) {
    let receiver = Receiver::grpc();
    receiver.respond_with(response);
    kind_and_text(&receiver.endpoint())
}

#[test]
fn a_probe_that_succeeds_leaves_exactly_one_span() {
    let receiver = Receiver::grpc();
    probed(&receiver.endpoint(), Protocol::Grpc, PATIENCE, |config| {
        config
    })
    .unwrap();
    let spans = receiver.spans();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].name, "codex.telemetry.probe");
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn an_unknown_host_is_a_dns_error() {
    let (kind, text) = kind_and_text("http://collector.invalid:4317");
    assert_eq!(kind, Kind::Dns, "{text}");
}

#[test]
fn a_closed_port_is_refused() {
    let (kind, text) = kind_and_text(&closed_port());
    assert_eq!(kind, Kind::Refused, "{text}");
}

#[test]
fn rejected_credentials_are_unauthorized() {
    for status in [401, 403] {
        let (kind, text) = kind_and_text_of_response(MockResponse::Status(status));
        assert_eq!(kind, Kind::Unauthorized, "{text}");
    }
}

#[test]
fn an_unknown_service_is_not_found() {
    let (kind, text) = kind_and_text_of_response(MockResponse::Status(501));
    assert_eq!(kind, Kind::NotFound, "{text}");
}

#[test]
fn a_response_that_is_not_otlp_is_a_wrong_protocol() {
    let page = MockResponse::Body200(b"<html>Welcome to nginx!</html>".to_vec());
    let (kind, text) = kind_and_text_of_response(page);
    assert_eq!(kind, Kind::WrongProtocol, "{text}");
}

#[test]
fn a_receiver_of_another_protocol_is_a_wrong_protocol() {
    let receiver = Receiver::http();
    let (kind, text) = kind_and_text(&receiver.endpoint());
    assert_eq!(kind, Kind::WrongProtocol, "{text}");
    // A proxy may use HTTP/2 and not gRPC.
    let (kind, text) =
        kind_and_text_of_response(MockResponse::Redirect("http://127.0.0.1:9/".to_owned()));
    assert_eq!(kind, Kind::WrongProtocol, "{text}");
}

#[test]
fn a_receiver_that_does_not_respond_is_a_timeout() {
    let receiver = Receiver::grpc();
    receiver.respond_with(MockResponse::Hang);
    let (_listener, silent) = blackhole();
    let short = Duration::from_millis(300);
    for endpoint in [&receiver.endpoint(), &silent] {
        let result = probed(endpoint, Protocol::Grpc, short, |config| config);
        assert_eq!(result.unwrap_err().kind(), Kind::Timeout);
        let timeout = |config: OtlpConfigBuilder| config.timeout(short);
        let result = probed(endpoint, Protocol::Grpc, PATIENCE, timeout);
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
    }
}

#[test]
fn a_failed_handshake_is_a_tls_error() {
    let pki = Pki::new();
    let grpcs = Receiver::grpcs(Tls::server_only(&pki));
    let mutual = Receiver::grpcs(Tls::mutual(&pki));
    let plain = Receiver::grpc();
    let over_tls = plain.endpoint().replace("http:", "https:");
    for (case, endpoint, ca) in [
        ("an unknown authority", grpcs.endpoint(), &pki.untrusted_ca),
        ("no client certificate", mutual.endpoint(), &pki.ca),
        ("TLS to a plain port", over_tls, &pki.ca),
    ] {
        let trust = |config: OtlpConfigBuilder| config.ca_file(ca);
        let result = probed(&endpoint, Protocol::Grpc, PATIENCE, trust);
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Tls, "{case}: {error}");
    }
}

#[test]
fn plain_http_to_a_tls_port_is_a_wrong_protocol() {
    let pki = Pki::new();
    let grpcs = Receiver::grpcs(Tls::server_only(&pki));
    let plainly = grpcs.endpoint().replace("https:", "http:");
    let (kind, text) = kind_and_text(&plainly);
    assert_eq!(kind, Kind::WrongProtocol, "{text}");
    assert!(text.contains("check scheme"), "{text}");
}

#[test]
fn a_missing_file_is_a_config_error() {
    let pki = Pki::new();
    let trust = |config: OtlpConfigBuilder| config.ca_file(pki.missing());
    let result = probed("https://localhost:1", Protocol::Grpc, PATIENCE, trust);
    assert_eq!(result.unwrap_err().kind(), Kind::Config);
}

#[test]
fn another_rejection_has_the_message_of_the_receiver() {
    let receiver = Receiver::grpc();
    let message = "no room for spans".to_owned();
    receiver.respond_with(MockResponse::PartialSuccess {
        rejected: 1,
        message,
    });
    let (kind, text) = kind_and_text(&receiver.endpoint());
    assert_eq!(kind, Kind::Other);
    assert!(text.contains("no room for spans"), "{text}");
    let (kind, text) = kind_and_text_of_response(MockResponse::Status(503));
    assert_eq!(kind, Kind::Other, "{text}");
    assert!(text.contains("the configured message"), "{text}");
}
