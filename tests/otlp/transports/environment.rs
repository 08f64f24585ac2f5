//! The configuration takes precedence over the variables that the SDK's exporters read.

use super::{content::exported, headers::receivers, subprocess::in_subprocess};
use crate::receiver::{Encoding, Pki, Receiver, Tls};

#[test]
fn configured_headers_replace_those_of_the_environment() {
    let name = "environment::configured_headers_replace_those_of_the_environment";
    let variables = [
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "x-tenant=process,x-more=process",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "x-tenant=process,x-more=process",
        ),
    ];
    if in_subprocess(name, &variables).is_some() {
        return;
    }
    for (protocol, receiver) in receivers() {
        exported(&receiver, |config| {
            config.protocol(protocol).header("x-tenant", "config")
        });
        for request in receiver.requests() {
            assert_eq!(request.header("x-tenant"), Some("config"), "{protocol}");
            assert_eq!(request.header("x-more"), None, "{protocol}");
        }
    }
}

#[test]
fn headers_of_the_environment_do_not_describe_the_body() {
    let name = "environment::headers_of_the_environment_do_not_describe_the_body";
    let headers = "content-type=text/plain,content-encoding=gzip,content-length=5";
    if in_subprocess(name, &[("OTEL_EXPORTER_OTLP_HEADERS", headers)]).is_some() {
        return;
    }
    for (protocol, receiver) in receivers() {
        exported(&receiver, |config| config.protocol(protocol)).assert_complete();
    }
}

#[test]
fn the_configuration_takes_precedence_over_the_environment_of_the_process() {
    let name = "environment::\
        the_configuration_takes_precedence_over_the_environment_of_the_process";
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "true"),
        ("OTEL_SERVICE_NAME", "process"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=process"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1"),
    ];
    if in_subprocess(name, &variables).is_some() {
        return;
    }
    let mut contents = Vec::new();
    for (protocol, receiver) in receivers() {
        contents.push(exported(&receiver, |config| config.protocol(protocol)));
    }
    for content in &contents {
        content.assert_complete();
        assert_eq!(content, &contents[0]);
        assert!(!format!("{content:?}").contains("process"));
        assert!(!format!("{content:?}").contains("Delta"));
    }
}

#[test]
fn the_configuration_alone_decides_on_the_compression() {
    let name = "environment::the_configuration_alone_decides_on_the_compression";
    let variables = [("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")];
    if in_subprocess(name, &variables).is_some() {
        return;
    }
    for (protocol, receiver) in receivers() {
        exported(&receiver, |config| config.protocol(protocol)).assert_complete();
        for request in receiver.requests() {
            assert_eq!(request.encoding, Encoding::Identity, "{protocol}");
        }
        receiver.assert_all_decoded();
    }
}

#[test]
fn an_http_endpoint_reads_no_tls_file() {
    let pki = Pki::new();
    let receiver = Receiver::http();
    let content = exported(&receiver, |config| config.ca_file(pki.missing()));
    content.assert_complete();
    let receiver = Receiver::https(Tls::server_only(&pki));
    exported(&receiver, |config| config.ca_file(&pki.ca)).assert_complete();
}
