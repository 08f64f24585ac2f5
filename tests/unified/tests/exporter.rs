//! The OTLP sink beside reqwest with its default features and its blocking client, tonic, and all the HTTP
//! clients that OpenTelemetry's exporters could choose from.

mod receiver;

use std::time::Duration;

use codex_telemetry::{
    Call, Operation, OtlpConfig, OtlpSink, ServiceBuilderExt, otlp::config::Protocol,
};
use tower::{ServiceBuilder, ServiceExt};

use crate::receiver::Receiver;

/// Far more than anything here takes, also on a busy machine.
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
        .expect("the configuration is right");
    OtlpSink::start(config)
}

/// Checks that each signal went out once, with the one header that was configured.
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
fn it_exports_without_a_runtime() {
    let receiver = Receiver::start();
    let sink = sink(&receiver.url(), Protocol::HttpProtobuf);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(make_a_call(&sink));
    sink.shutdown(DEADLINE).expect("everything is delivered");
    assert_delivered(&receiver);
}

#[tokio::test(flavor = "current_thread")]
async fn it_exports_and_is_dropped_inside_of_a_runtime_of_one_thread() {
    let receiver = Receiver::start();
    let sink = sink(&receiver.url(), Protocol::HttpProtobuf);
    make_a_call(&sink).await;
    sink.shutdown(DEADLINE).expect("everything is delivered");
    drop(sink);
    assert_delivered(&receiver);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_exports_and_is_dropped_inside_of_a_runtime_of_many_threads() {
    let receiver = Receiver::start();
    let sink = sink(&receiver.url(), Protocol::HttpProtobuf);
    let task = tokio::spawn(async move {
        make_a_call(&sink).await;
        sink.shutdown(DEADLINE).expect("everything is delivered");
    });
    task.await.expect("the task is well");
    assert_delivered(&receiver);
}

#[test]
fn the_applications_own_blocking_client_works_beside_it() {
    let receiver = Receiver::start();
    let sink = sink(&receiver.url(), Protocol::HttpProtobuf);
    let answer = reqwest::blocking::get(receiver.url());
    assert!(answer.expect("an answer").status().is_success());
    sink.shutdown(DEADLINE)
        .expect("there is nothing to deliver");
}

#[test]
fn over_https_it_brings_its_own_provider_where_the_process_has_two_and_none_is_chosen() {
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    let receiver = Receiver::start();
    let url = receiver.url().replace("http:", "https:");
    let sink = sink(&url, Protocol::HttpProtobuf);
    // The receiver speaks no TLS, so the probe fails, but by then the client has begun to.
    assert!(sink.probe(DEADLINE).is_err());
    assert!(receiver.heard(b"\x16\x03"), "no TLS record came");
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    let _ = sink.shutdown(Duration::ZERO);
}

#[test]
fn over_grpc_it_is_tonic_that_connects() {
    let _: Option<tonic::transport::Channel> = None;
    let receiver = Receiver::start();
    let sink = sink(&receiver.url(), Protocol::Grpc);
    // The receiver speaks no HTTP/2 either.
    assert!(sink.probe(DEADLINE).is_err());
    assert!(receiver.heard(b"PRI * HTTP/2.0"), "no HTTP/2 preface came");
    let _ = sink.shutdown(Duration::ZERO);
}
