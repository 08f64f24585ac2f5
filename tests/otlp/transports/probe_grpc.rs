//! The probe over gRPC: each thing that may be wrong has its kind.

use std::time::Duration;

use codex_telemetry::otlp::{
    ProbeErrorKind as Kind,
    config::{OtlpConfigBuilder, Protocol},
};

use super::probe::probed;
use crate::{
    receiver::{Behaviour, Pki, Receiver, Tls, blackhole, closed_port},
    signals::support::PATIENCE,
};

#[track_caller]
fn told(endpoint: &str) -> (Kind, String) {
    let told = probed(endpoint, Protocol::Grpc, PATIENCE, |config| config);
    let error = told.unwrap_err();
    (error.kind(), error.to_string())
}

#[track_caller]
fn told_of_answer(behaviour: Behaviour) -> (Kind, String) {
    let receiver = Receiver::grpc();
    receiver.behave(behaviour);
    told(&receiver.endpoint())
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
fn a_name_that_nobody_knows_is_told() {
    let (kind, text) = told("http://collector.invalid:4317");
    assert_eq!(kind, Kind::Dns, "{text}");
}

#[test]
fn a_port_that_nobody_listens_on_is_told() {
    let (kind, text) = told(&closed_port());
    assert_eq!(kind, Kind::Refused, "{text}");
}

#[test]
fn credentials_that_are_refused_are_told() {
    for status in [401, 403] {
        let (kind, text) = told_of_answer(Behaviour::Status(status));
        assert_eq!(kind, Kind::Unauthorized, "{text}");
    }
}

#[test]
fn a_service_that_is_not_there_is_told() {
    let (kind, text) = told_of_answer(Behaviour::Status(501));
    assert_eq!(kind, Kind::NotFound, "{text}");
}

#[test]
fn an_answer_that_is_not_otlp_is_told() {
    let page = Behaviour::Body200(b"<html>Welcome to nginx!</html>".to_vec());
    let (kind, text) = told_of_answer(page);
    assert_eq!(kind, Kind::WrongProtocol, "{text}");
}

#[test]
fn a_receiver_of_another_protocol_is_told() {
    let receiver = Receiver::http();
    let (kind, text) = told(&receiver.endpoint());
    assert_eq!(kind, Kind::WrongProtocol, "{text}");
    // A proxy in between may speak HTTP/2 and yet not gRPC.
    let (kind, text) = told_of_answer(Behaviour::Redirect("http://127.0.0.1:9/".to_owned()));
    assert_eq!(kind, Kind::WrongProtocol, "{text}");
}

#[test]
fn a_receiver_that_does_not_answer_is_told() {
    let receiver = Receiver::grpc();
    receiver.behave(Behaviour::Hang);
    let (_listener, silent) = blackhole();
    let short = Duration::from_millis(300);
    for endpoint in [&receiver.endpoint(), &silent] {
        let told = probed(endpoint, Protocol::Grpc, short, |config| config);
        assert_eq!(told.unwrap_err().kind(), Kind::Timeout);
        let timeout = |config: OtlpConfigBuilder| config.timeout(short);
        let told = probed(endpoint, Protocol::Grpc, PATIENCE, timeout);
        let error = told.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
    }
}

#[test]
fn tls_that_does_not_come_about_is_told() {
    let pki = Pki::new();
    let grpcs = Receiver::grpcs(Tls::server_only(&pki));
    let mutual = Receiver::grpcs(Tls::mutual(&pki));
    let plain = Receiver::grpc();
    let over_tls = plain.endpoint().replace("http:", "https:");
    for (case, endpoint, ca) in [
        ("an unknown authority", grpcs.endpoint(), &pki.stranger_ca),
        ("no client certificate", mutual.endpoint(), &pki.ca),
        ("TLS to a plain port", over_tls, &pki.ca),
    ] {
        let trust = |config: OtlpConfigBuilder| config.ca_file(ca);
        let told = probed(&endpoint, Protocol::Grpc, PATIENCE, trust);
        let error = told.unwrap_err();
        assert_eq!(error.kind(), Kind::Tls, "{case}: {error}");
    }
}

#[test]
fn a_port_of_tls_that_is_asked_in_the_plain_is_told() {
    let pki = Pki::new();
    let grpcs = Receiver::grpcs(Tls::server_only(&pki));
    let plainly = grpcs.endpoint().replace("https:", "http:");
    let (kind, text) = told(&plainly);
    assert_eq!(kind, Kind::WrongProtocol, "{text}");
    assert!(text.contains("check scheme"), "{text}");
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let pki = Pki::new();
    let trust = |config: OtlpConfigBuilder| config.ca_file(pki.missing());
    let told = probed("https://localhost:1", Protocol::Grpc, PATIENCE, trust);
    assert_eq!(told.unwrap_err().kind(), Kind::Config);
}

#[test]
fn a_refusal_of_another_kind_is_told_in_the_receivers_words() {
    let receiver = Receiver::grpc();
    let message = "no room for spans".to_owned();
    receiver.behave(Behaviour::PartialSuccess {
        rejected: 1,
        message,
    });
    let (kind, text) = told(&receiver.endpoint());
    assert_eq!(kind, Kind::Other);
    assert!(text.contains("no room for spans"), "{text}");
    let (kind, text) = told_of_answer(Behaviour::Status(503));
    assert_eq!(kind, Kind::Other, "{text}");
    assert!(text.contains("told to answer so"), "{text}");
}
