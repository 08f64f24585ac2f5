//! The endpoints of the signals.

use codex_telemetry::{
    OtlpConfig, OtlpSink,
    otlp::{Signal, config::Protocol},
};

use super::{content::make_calls, headers, tls};
use crate::{
    receiver::{Pki, Receiver, Request, Tls},
    rig::PATIENCE,
};

/// Exports to the receiver as these variables and an endpoint without a scheme say.
fn export_without_scheme(protocol: Protocol, receiver: &Receiver, variable: (&str, &str)) {
    let endpoint = receiver.endpoint();
    let (_, address) = endpoint.split_once("://").unwrap();
    let with_warnings = OtlpConfig::from_variables([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", address),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.as_str()),
        variable,
    ]);
    let sink = OtlpSink::start(with_warnings.config.unwrap());
    make_calls(sink.clone());
    sink.blocking_shutdown(PATIENCE).unwrap();
    assert!(!receiver.spans().is_empty(), "{protocol}");
}

fn paths(requests: &[Request]) -> Vec<&str> {
    let mut paths: Vec<_> = requests.iter().map(|request| &*request.path).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

#[test]
fn the_path_of_each_signal_is_appended_to_the_endpoint_once() {
    for slash in ["", "/"] {
        let receiver = Receiver::http();
        let endpoint = receiver.endpoint() + slash;
        let config = OtlpConfig::builder().endpoint(&endpoint).build().unwrap();
        let sink = OtlpSink::start(config);
        make_calls(sink.clone());
        sink.blocking_shutdown(PATIENCE).unwrap();
        let expected = ["/v1/logs", "/v1/metrics", "/v1/traces"];
        assert_eq!(paths(&receiver.requests()), expected);
    }
}

#[test]
fn the_path_of_the_endpoint_is_kept() {
    let receiver = Receiver::http();
    let endpoint = receiver.endpoint() + "/otlp/";
    let config = OtlpConfig::builder().endpoint(&endpoint).build().unwrap();
    let sink = OtlpSink::start(config);
    make_calls(sink.clone());
    // The receiver has no such path.
    let undelivered = sink.blocking_shutdown(PATIENCE).unwrap_err();
    let problem = undelivered.problem(Signal::Traces).unwrap();
    assert!(problem.contains("responded with status 404"), "{problem}");
    let expected = ["/otlp/v1/logs", "/otlp/v1/metrics", "/otlp/v1/traces"];
    assert_eq!(paths(&receiver.requests()), expected);
}

#[test]
fn each_signal_may_have_its_own_url() {
    let [traces, metrics, logs] = [(); 3].map(|()| Receiver::http());
    let url = |receiver: &Receiver, path| receiver.endpoint() + path;
    let config = OtlpConfig::builder()
        .signal_endpoint(Signal::Traces, &url(&traces, "/v1/traces"))
        .signal_endpoint(Signal::Metrics, &url(&metrics, "/v1/metrics"))
        .signal_endpoint(Signal::Logs, &url(&logs, "/v1/logs"))
        .build()
        .unwrap();
    let sink = OtlpSink::start(config);
    make_calls(sink.clone());
    sink.blocking_shutdown(PATIENCE).unwrap();
    assert_eq!(paths(&traces.requests()), ["/v1/traces"]);
    assert_eq!(paths(&metrics.requests()), ["/v1/metrics"]);
    assert_eq!(paths(&logs.requests()), ["/v1/logs"]);
}

#[test]
fn each_signal_may_have_its_own_protocol_and_headers() {
    let receiver = Receiver::http();
    let with_warnings = OtlpConfig::from_variables([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*receiver.endpoint()),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-tenant=traces"),
    ]);
    let config = with_warnings.config.unwrap();
    assert_eq!(
        config.signal(Signal::Logs).unwrap().protocol,
        Protocol::HttpJson
    );
    let sink = OtlpSink::start(config);
    make_calls(sink.clone());
    sink.blocking_shutdown(PATIENCE).unwrap();
    for request in receiver.requests() {
        let json = request.header("content-type") == Some("application/json");
        assert_eq!(json, request.path == "/v1/logs", "{request:?}");
        let tenant = request.header("x-tenant");
        let traces = request.path == "/v1/traces";
        assert_eq!(tenant, traces.then_some("traces"), "{request:?}");
    }
}

#[test]
fn an_endpoint_without_a_scheme_is_reached_with_tls() {
    let pki = Pki::new();
    for (protocol, receiver) in tls::receivers(|| Tls::server_only(&pki)) {
        let ca = pki.ca.to_str().unwrap();
        export_without_scheme(protocol, &receiver, ("OTEL_EXPORTER_OTLP_CERTIFICATE", ca));
    }
}

#[test]
fn an_endpoint_without_a_scheme_is_reached_without_tls_if_a_variable_allows_it() {
    for (protocol, receiver) in headers::receivers() {
        export_without_scheme(protocol, &receiver, ("OTEL_EXPORTER_OTLP_INSECURE", "true"));
    }
}

#[test]
fn a_signal_whose_exporter_is_none_sends_nothing() {
    let receiver = Receiver::http();
    let with_warnings = OtlpConfig::from_variables([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*receiver.endpoint()),
        ("OTEL_METRICS_EXPORTER", "none"),
    ]);
    let sink = OtlpSink::start(with_warnings.config.unwrap());
    make_calls(sink.clone());
    sink.blocking_shutdown(PATIENCE).unwrap();
    assert_eq!(paths(&receiver.requests()), ["/v1/logs", "/v1/traces"]);
}

#[test]
fn a_disabled_signal_sends_nothing_and_counts_nothing() {
    let receiver = Receiver::http();
    let config = OtlpConfig::builder().endpoint(&receiver.endpoint());
    let sink = OtlpSink::start(config.signals([Signal::Logs]).build().unwrap());
    make_calls(sink.clone());
    sink.blocking_shutdown(PATIENCE).unwrap();
    assert_eq!(paths(&receiver.requests()), ["/v1/logs"]);
    assert_eq!(sink.stats().traces.accepted, 0);
    assert_eq!(sink.stats().metrics.accepted, 0);
    assert_eq!(sink.endpoint(Signal::Traces), None);
}

#[cfg(feature = "grpc")]
#[test]
fn grpc_uses_its_own_paths() {
    let receiver = Receiver::grpc();
    let config = OtlpConfig::builder().endpoint(&receiver.endpoint());
    let config = config.protocol(Protocol::Grpc).build().unwrap();
    let sink = OtlpSink::start(config);
    make_calls(sink.clone());
    sink.blocking_shutdown(PATIENCE).unwrap();
    let expected = [
        "logs.v1.LogsService",
        "metrics.v1.MetricsService",
        "trace.v1.TraceService",
    ];
    let expected =
        expected.map(|service| format!("/opentelemetry.proto.collector.{service}/Export"));
    assert_eq!(paths(&receiver.requests()), expected);
}
