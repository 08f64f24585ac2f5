//! The OTLP sink in a build with the default features of reqwest, its blocking client, tonic, and all HTTP
//! clients of the OpenTelemetry exporters.

mod receiver;

use std::time::Duration;

use codex_telemetry::{
    Call, Operation, OtlpConfig, OtlpSink, ServiceBuilderExt, otlp::config::Protocol,
};
use tower::{ServiceBuilder, ServiceExt};

use crate::receiver::Receiver;

/// A timeout that no test reaches, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

async fn make_a_call(sink: &OtlpSink) {
    let service = ServiceBuilder::new()
        .timing(sink.clone())
        .service_fn(|call: Call<u32>| async move { Ok::<_, String>(call.request + 1) });
    let call = Call::new(Operation::Custom("add"), 41);
    assert_eq!(service.oneshot(call).await, Ok(42));
}

fn sink(endpoint: &str, protocol: Protocol) -> OtlpSink {
    let config = OtlpConfig::builder()
        .endpoint(endpoint)
        .protocol(protocol)
        .header("x-tenant", "blue")
        .build()
        .expect("the configuration is valid");
    OtlpSink::start(config)
}

/// Asserts that each signal was exported once, with the configured header.
fn assert_delivered(receiver: &Receiver) {
    let mut paths = Vec::new();
    for request in receiver.requests() {
        assert_eq!(request.header("x-tenant"), Some("blue"));
        assert_eq!(
            request.header("content-type"),
            Some("application/x-protobuf")
        );
        paths.push(request.path.clone());
    }
    paths.sort();
    assert_eq!(paths, ["/v1/logs", "/v1/metrics", "/v1/traces"]);
}

#[test]
fn the_sink_exports_without_a_runtime() {
    let receiver = Receiver::start();
    let sink = sink(&receiver.url(), Protocol::HttpProtobuf);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(make_a_call(&sink));
    sink.blocking_shutdown(DEADLINE)
        .expect("everything is delivered");
    assert_delivered(&receiver);
}

#[tokio::test(flavor = "current_thread")]
async fn the_sink_exports_and_is_dropped_in_a_current_thread_runtime() {
    let receiver = Receiver::start();
    let sink = sink(&receiver.url(), Protocol::HttpProtobuf);
    make_a_call(&sink).await;
    sink.blocking_shutdown(DEADLINE)
        .expect("everything is delivered");
    drop(sink);
    assert_delivered(&receiver);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sink_exports_and_is_dropped_in_a_multi_thread_runtime() {
    let receiver = Receiver::start();
    let sink = sink(&receiver.url(), Protocol::HttpProtobuf);
    let task = tokio::spawn(async move {
        make_a_call(&sink).await;
        sink.blocking_shutdown(DEADLINE)
            .expect("everything is delivered");
    });
    task.await.expect("the task does not panic");
    assert_delivered(&receiver);
}

#[test]
fn a_blocking_client_of_the_application_works_with_the_sink() {
    let receiver = Receiver::start();
    let sink = sink(&receiver.url(), Protocol::HttpProtobuf);
    let response = reqwest::blocking::get(receiver.url());
    assert!(response.expect("a response").status().is_success());
    sink.blocking_shutdown(DEADLINE)
        .expect("nothing is pending");
}

#[test]
fn the_sink_uses_its_own_tls_provider_if_the_process_has_no_default() {
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    let receiver = Receiver::start();
    let url = receiver.url().replace("http:", "https:");
    let sink = sink(&url, Protocol::HttpProtobuf);
    // The receiver does not support TLS, so the probe fails after the first TLS record.
    assert!(sink.probe(DEADLINE).is_err());
    assert!(receiver.has_received(b"\x16\x03"), "no TLS record");
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    let _ = sink.blocking_shutdown(Duration::ZERO);
}

#[test]
fn the_sink_connects_over_grpc_with_tonic() {
    let _: Option<tonic::transport::Channel> = None;
    let receiver = Receiver::start();
    let sink = sink(&receiver.url(), Protocol::Grpc);
    // The receiver does not support HTTP/2.
    assert!(sink.probe(DEADLINE).is_err());
    assert!(
        receiver.has_received(b"PRI * HTTP/2.0"),
        "no HTTP/2 preface"
    );
    let _ = sink.blocking_shutdown(Duration::ZERO);
}
