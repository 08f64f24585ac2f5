//! What the configuration says wins over what the exporters would read by themselves.

use super::{alone::alone, content::exported, headers::receivers};
use crate::receiver::{Encoding, Pki, Receiver, Tls};

#[test]
fn headers_of_the_configuration_win_over_those_of_the_process() {
    let name = "environment::headers_of_the_configuration_win_over_those_of_the_process";
    let variables = [
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "x-tenant=theirs,x-more=theirs",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "x-tenant=theirs,x-more=theirs",
        ),
    ];
    if alone(name, &variables).is_some() {
        return;
    }
    for (protocol, receiver) in receivers() {
        exported(&receiver, |config| {
            config.protocol(protocol).header("x-tenant", "ours")
        });
        for request in receiver.requests() {
            assert_eq!(request.header("x-tenant"), Some("ours"), "{protocol}");
            assert_eq!(request.header("x-more"), None, "{protocol}");
        }
    }
}

#[test]
fn protocol_endpoint_and_timeout_of_the_configuration_win_over_those_of_the_process() {
    let name = "environment::\
        protocol_endpoint_and_timeout_of_the_configuration_win_over_those_of_the_process";
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "true"),
        ("OTEL_SERVICE_NAME", "theirs"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=theirs"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1"),
    ];
    if alone(name, &variables).is_some() {
        return;
    }
    let mut contents = Vec::new();
    for (protocol, receiver) in receivers() {
        contents.push(exported(&receiver, |config| config.protocol(protocol)));
    }
    for content in &contents {
        content.assert_whole();
        assert_eq!(content, &contents[0]);
        assert!(!format!("{content:?}").contains("theirs"));
        assert!(!format!("{content:?}").contains("Delta"));
    }
}

#[test]
fn a_proxy_of_the_process_is_asked_for_no_address_that_it_does_not_serve() {
    let name = "environment::a_proxy_of_the_process_is_asked_for_no_address_that_it_does_not_serve";
    let variables = [
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("http_proxy", "http://127.0.0.1:9"),
        ("NO_PROXY", "127.0.0.1"),
    ];
    if alone(name, &variables).is_some() {
        return;
    }
    for (protocol, receiver) in receivers() {
        exported(&receiver, |config| config.protocol(protocol)).assert_whole();
    }
}

#[test]
fn gzip_in_the_process_reaches_the_exporters_past_the_configuration_as_documented() {
    let name = "environment::gzip_in_the_process_reaches_the_exporters_past_the_configuration_as_documented";
    let variables = [("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")];
    if alone(name, &variables).is_some() {
        return;
    }
    for (protocol, receiver) in receivers() {
        exported(&receiver, |config| config.protocol(protocol));
        for request in receiver.requests() {
            assert_eq!(request.encoding, Encoding::Gzip, "{protocol}");
        }
    }
}

#[test]
fn an_endpoint_without_tls_looks_at_no_file() {
    let pki = Pki::new();
    let receiver = Receiver::http();
    let content = exported(&receiver, |config| config.ca_file(pki.missing()));
    content.assert_whole();
    let receiver = Receiver::https(Tls::server_only(&pki));
    exported(&receiver, |config| config.ca_file(&pki.ca)).assert_whole();
}
