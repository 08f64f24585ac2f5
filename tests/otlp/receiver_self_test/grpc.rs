//! The responses over gRPC, with tonic as the client.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceResponse, trace_service_client::TraceServiceClient,
};
use tonic::{Code, Status, codec::CompressionEncoding, transport::Channel};

use super::support::request;
use crate::receiver::{Encoding, MockResponse, Receiver, Replied};

type Answer = Result<ExportTraceServiceResponse, Status>;

async fn client(receiver: &Receiver) -> TraceServiceClient<Channel> {
    let endpoint = Channel::from_shared(receiver.endpoint()).unwrap();
    TraceServiceClient::new(endpoint.connect().await.unwrap())
}

async fn export(receiver: &Receiver, spans: u8) -> Answer {
    let response = client(receiver).await.export(request(spans)).await;
    response.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_request_is_recorded_with_its_metadata_and_its_response() {
    let receiver = Receiver::grpc();
    let mut sent = tonic::Request::new(request(1));
    sent.metadata_mut()
        .insert("x-name", "value".parse().unwrap());
    let client = client(&receiver).await;
    let client = client.send_compressed(CompressionEncoding::Gzip);
    let mut client = client.accept_compressed(CompressionEncoding::Gzip);
    let response = client.export(sent).await.unwrap().into_inner();
    assert_eq!(response.partial_success, None);
    let requests = receiver.requests();
    let method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    assert_eq!(requests[0].path, method);
    assert_eq!(requests[0].header("x-name"), Some("value"));
    assert_eq!(requests[0].encoding, Encoding::Gzip);
    assert_eq!(requests[0].replied, Replied::Grpc(Code::Ok));
    assert_eq!(receiver.spans()[0].name, "span 0");
}

#[tokio::test]
async fn a_status_is_sent_as_the_nearest_code() {
    let receiver = Receiver::grpc();
    for (status, code) in [
        (400, Code::InvalidArgument),
        (401, Code::Unauthenticated),
        (404, Code::Unimplemented),
        (429, Code::ResourceExhausted),
        (503, Code::Unavailable),
    ] {
        receiver.respond_next(1, MockResponse::Status(status));
        let status = export(&receiver, 1).await.unwrap_err();
        assert_eq!(status.code(), code);
        assert_eq!(status.message(), "the configured message");
        let requests = receiver.requests();
        assert_eq!(requests.last().unwrap().replied, Replied::Grpc(code));
    }
    assert_eq!(receiver.spans(), []);
}

#[tokio::test]
async fn a_partial_success_drops_the_last_items() {
    let receiver = Receiver::grpc();
    receiver.respond_with(MockResponse::PartialSuccess {
        rejected: 2,
        message: "no room".to_owned(),
    });
    let response = export(&receiver, 3).await.unwrap();
    let partial = response.partial_success.unwrap();
    assert_eq!(
        (partial.rejected_spans, &*partial.error_message),
        (2, "no room")
    );
    assert_eq!(receiver.spans().len(), 1);
}

#[tokio::test]
async fn malformed_bodies_and_redirects_are_errors() {
    let receiver = Receiver::grpc();
    receiver.respond_next(1, MockResponse::Body200(b"\xff<html>".to_vec()));
    assert_eq!(
        export(&receiver, 1).await.unwrap_err().code(),
        Code::Internal
    );
    assert_eq!(receiver.spans().len(), 1);
    receiver.respond_next(1, MockResponse::Redirect("http://127.0.0.1:1/".to_owned()));
    assert_eq!(
        export(&receiver, 1).await.unwrap_err().code(),
        Code::Unknown
    );
    assert_eq!(receiver.requests()[1].status(), Some(307));
    assert_eq!(receiver.spans().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hanging_call_ends_when_the_receiver_stops() {
    let receiver = Receiver::grpc();
    receiver.respond_with(MockResponse::Hang);
    let mut client = client(&receiver).await;
    let hanging = tokio::spawn(async move { client.export(request(1)).await });
    let requests = receiver.wait_for_requests(1);
    assert_eq!(requests[0].replied, Replied::Nothing);
    assert!(!hanging.is_finished());
    receiver.stop();
    assert!(hanging.await.unwrap().is_err());
}

#[tokio::test]
async fn a_connection_is_closed_and_the_next_call_opens_another() {
    let receiver = Receiver::grpc();
    receiver.respond_next(1, MockResponse::CloseMidway);
    let mut client = client(&receiver).await;
    client.export(request(1)).await.unwrap_err();
    assert_eq!(receiver.requests()[0].replied, Replied::Nothing);
    assert_eq!(receiver.spans(), []);
    client.export(request(1)).await.unwrap();
    assert_eq!((receiver.spans().len(), receiver.connections()), (1, 2));
}

/// The exporter understands `RetryInfo`, so the receiver encodes it correctly.
#[cfg(feature = "grpc")]
#[tokio::test]
async fn the_sdk_exporter_understands_retry_info() {
    use std::time::Duration;

    use opentelemetry_otlp::{
        RetryPolicy, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
    };
    use opentelemetry_sdk::trace::SpanExporter as _;

    let receiver = Receiver::grpc();
    let policy = RetryPolicy::recommended().with_max_jitter(Duration::ZERO);
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(receiver.endpoint())
        .with_retry_policy(policy)
        .build()
        .unwrap();
    receiver.respond_next(1, MockResponse::Status(429));
    exporter.export(Vec::new()).await.unwrap_err();
    assert_eq!(receiver.requests().len(), 1);

    let delay = Duration::from_millis(250);
    receiver.respond_next(1, MockResponse::StatusWithRetryAfter(429, delay));
    exporter.export(Vec::new()).await.unwrap();
    let requests = receiver.requests();
    assert!(requests[2].received_at - requests[1].received_at >= delay);
}

#[tokio::test]
async fn an_unknown_method_or_a_body_that_does_not_decode_is_rejected() {
    let receiver = Receiver::grpc();
    receiver.respond_next(1, MockResponse::Status(503));
    let channel = Channel::from_shared(receiver.endpoint()).unwrap();
    let channel = channel.connect().await.unwrap();
    // The wrong origin adds a prefix to the method.
    let wrong = "http://127.0.0.1/v1/traces".parse().unwrap();
    let mut client = TraceServiceClient::with_origin(channel.clone(), wrong);
    let status = client.export(request(1)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    receiver.assert_all_decoded();

    let mut unidentified = request(1);
    unidentified.resource_spans[0].scope_spans[0].spans[0].span_id = vec![1];
    let status = TraceServiceClient::new(channel).export(unidentified).await;
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(receiver.take_decode_failures().len(), 1);
    let status = export(&receiver, 1).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}
