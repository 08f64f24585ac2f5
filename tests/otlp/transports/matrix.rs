//! The receiver decodes the same content for each protocol and each kind of connection.

use codex_telemetry::otlp::config::{OtlpConfigBuilder, Protocol};

use super::content::exported;
use crate::receiver::{Encoding, Format, Pki, Receiver, Tls};

/// Starts a receiver with or without TLS.
type Start = fn(Option<Tls>) -> Receiver;

fn http(tls: Option<Tls>) -> Receiver {
    tls.map_or_else(Receiver::http, Receiver::https)
}

/// Exports over each kind of connection, and compares the content with that over plain HTTP.
fn assert_same_content(protocol: Protocol, format: Format, start: Start) {
    let expected = exported(&Receiver::http(), |config| config);
    expected.assert_complete();
    let pki = Pki::new();
    let plain = |config: OtlpConfigBuilder| config;
    let server = |config: OtlpConfigBuilder| config.ca_file(&pki.ca);
    let mutual = |config: OtlpConfigBuilder| {
        let config = config.ca_file(&pki.ca);
        config.client_certificate_file(&pki.client_cert, &pki.client_key)
    };
    type Configure<'a> = &'a dyn Fn(OtlpConfigBuilder) -> OtlpConfigBuilder;
    type Way<'a> = (&'a str, Configure<'a>, Option<fn(&Pki) -> Tls>);
    let ways: [Way<'_>; 3] = [
        ("plain", &plain, None),
        ("TLS", &server, Some(Tls::server_only)),
        ("mutual TLS", &mutual, Some(Tls::mutual)),
    ];
    for (way, configure, tls) in ways {
        for (gzip, encoding) in [(false, Encoding::Identity), (true, Encoding::Gzip)] {
            let receiver = start(tls.map(|tls| tls(&pki)));
            let content = exported(&receiver, |config| {
                configure(config.protocol(protocol).gzip(gzip))
            });
            assert_eq!(content, expected, "{protocol} over {way}, gzip {gzip}");
            receiver.assert_all_decoded();
            assert_eq!(receiver.connection_failures(), [""; 0]);
            for request in receiver.requests() {
                assert_eq!(request.encoding, encoding, "{way} {request:?}");
                assert_eq!(request.format, Some(format), "{way} {request:?}");
            }
        }
    }
}

#[test]
fn http_protobuf_exports_all_signals_with_and_without_tls_and_gzip() {
    assert_same_content(Protocol::HttpProtobuf, Format::Protobuf, http);
}

#[test]
fn http_json_exports_all_signals_with_and_without_tls_and_gzip() {
    assert_same_content(Protocol::HttpJson, Format::Json, http);
}

#[cfg(feature = "grpc")]
#[test]
fn grpc_exports_all_signals_with_and_without_tls_and_gzip() {
    assert_same_content(Protocol::Grpc, Format::Protobuf, |tls| {
        tls.map_or_else(Receiver::grpc, Receiver::grpcs)
    });
}

#[test]
fn http_protobuf_is_the_default() {
    let receiver = Receiver::http();
    exported(&receiver, |config| config);
    for request in receiver.requests() {
        let kind = request.header("content-type");
        assert_eq!(kind, Some("application/x-protobuf"));
    }
}
