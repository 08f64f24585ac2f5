//! The responses over HTTP, with reqwest as the client.

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse},
    common::v1::any_value::Value,
};
use prost::Message as _;
use reqwest::{Response, header::RETRY_AFTER};
use serde_json::{Value as Json, json};

use super::support::{attribute, client, request};
use crate::receiver::{MockResponse, Receiver, Replied};

async fn post(receiver: &Receiver, path: &str, body: Vec<u8>) -> reqwest::Result<Response> {
    let request = client().post(receiver.endpoint() + path).body(body);
    let request = request.header("content-type", "application/x-protobuf");
    request.header("X-Name", "value").send().await
}

async fn post_spans(receiver: &Receiver, spans: u8) -> reqwest::Result<Response> {
    post(receiver, "/v1/traces", request(spans).encode_to_vec()).await
}

#[tokio::test]
async fn a_request_is_recorded_with_its_headers_and_its_response() {
    let receiver = Receiver::http();
    let response = post_spans(&receiver, 2).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/x-protobuf");
    let response = ExportTraceServiceResponse::decode(response.bytes().await.unwrap()).unwrap();
    assert_eq!(response.partial_success, None);
    let requests = receiver.requests();
    assert_eq!(requests[0].path, "/v1/traces");
    assert_eq!(requests[0].header("x-name"), Some("value"));
    assert_eq!(requests[0].status(), Some(200));
    assert_eq!(receiver.spans()[1].name, "span 1");
}

#[tokio::test]
async fn a_status_is_sent_and_its_data_is_not_recorded() {
    let receiver = Receiver::http();
    for status in [400, 401, 404, 429, 500, 503] {
        receiver.respond_next(1, MockResponse::Status(status));
        let response = post_spans(&receiver, 1).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().get(RETRY_AFTER), None);
    }
    assert_eq!(receiver.spans(), []);
    assert_eq!(post_spans(&receiver, 1).await.unwrap().status(), 200);
    assert_eq!(receiver.spans().len(), 1);
    assert_eq!(receiver.requests().len(), 7);
}

#[tokio::test]
async fn retry_after_is_in_whole_seconds_rounded_up() {
    let receiver = Receiver::http();
    for (delay, header) in [(0, "0"), (1, "1"), (1000, "1"), (1001, "2")] {
        let delay = Duration::from_millis(delay);
        receiver.respond_with(MockResponse::StatusWithRetryAfter(503, delay));
        let response = post_spans(&receiver, 1).await.unwrap();
        assert_eq!(response.headers()[RETRY_AFTER], header);
    }
}

#[tokio::test]
async fn malformed_bodies_and_redirects_are_sent() {
    let receiver = Receiver::http();
    receiver.respond_next(1, MockResponse::Body200(b"\xff<html>".to_vec()));
    let response = post_spans(&receiver, 1).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.bytes().await.unwrap(), &b"\xff<html>"[..]);
    receiver.respond_next(1, MockResponse::Redirect("http://127.0.0.1:1/".to_owned()));
    let response = post_spans(&receiver, 1).await.unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(response.headers()["location"], "http://127.0.0.1:1/");
    assert_eq!(receiver.spans().len(), 1);
}

#[tokio::test]
async fn a_partial_success_drops_the_last_items_in_both_formats() {
    let receiver = Receiver::http();
    receiver.respond_with(MockResponse::PartialSuccess {
        rejected: 2,
        message: "no room".to_owned(),
    });
    let response = post_spans(&receiver, 3).await.unwrap().bytes().await;
    let response = ExportTraceServiceResponse::decode(response.unwrap()).unwrap();
    let partial = ExportTracePartialSuccess {
        rejected_spans: 2,
        error_message: "no room".to_owned(),
    };
    assert_eq!(response.partial_success, Some(partial));
    assert_eq!(receiver.spans().len(), 1);

    let json = client().post(receiver.endpoint() + "/v1/traces");
    let json = json.header("content-type", "application/json; charset=utf-8");
    let body = serde_json::to_vec(&request(3)).unwrap();
    let response = json.body(body).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    let response = serde_json::from_slice::<Json>(&response.bytes().await.unwrap()).unwrap();
    let partial = json!({ "rejectedSpans": "2", "errorMessage": "no room" });
    assert_eq!(response, json!({ "partialSuccess": partial }));
    assert_eq!(receiver.spans().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hanging_request_is_recorded() {
    let receiver = Receiver::http();
    receiver.respond_with(MockResponse::Hang);
    let hanging = tokio::spawn({
        let request = client().post(receiver.endpoint() + "/v1/traces");
        let request = request.header("content-type", "application/x-protobuf");
        request
            .body(super::support::request(1).encode_to_vec())
            .send()
    });
    let requests = receiver.wait_for_requests(1);
    assert_eq!(requests[0].replied, Replied::Nothing);
    assert!(!hanging.is_finished());
    receiver.stop();
    assert!(hanging.await.unwrap().is_err());
    assert_eq!(receiver.spans(), []);
}

#[tokio::test]
async fn a_connection_is_closed_after_the_request() {
    let receiver = Receiver::http();
    receiver.respond_next(1, MockResponse::CloseMidway);
    let error = post_spans(&receiver, 1).await.unwrap_err();
    assert!(error.is_request() && !error.is_connect(), "{error:?}");
    assert_eq!(receiver.requests()[0].replied, Replied::Nothing);
    assert_eq!(receiver.spans(), []);
    assert_eq!(post_spans(&receiver, 1).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_wrong_path_or_method_is_rejected_and_consumes_no_response() {
    let receiver = Receiver::http();
    receiver.respond_next(1, MockResponse::Status(503));
    for path in [
        "",
        "/",
        "/v1/traces/",
        "/v1/traces/v1/traces",
        "//v1/traces",
    ] {
        let response = post(&receiver, path, Vec::new()).await.unwrap();
        assert_eq!(response.status(), 404, "{path}");
    }
    let url = receiver.endpoint() + "/v1/traces";
    assert_eq!(client().get(url).send().await.unwrap().status(), 405);
    assert_eq!(post_spans(&receiver, 1).await.unwrap().status(), 503);
    receiver.assert_all_decoded();
}

#[tokio::test]
async fn a_body_that_does_not_decode_is_rejected_and_recorded() {
    let receiver = Receiver::http();
    let mut twice = request(1);
    let span = &mut twice.resource_spans[0].scope_spans[0].spans[0];
    span.attributes
        .push(attribute("index", Value::BoolValue(true)));
    let mut unidentified = request(1);
    unidentified.resource_spans[0].scope_spans[0].spans[0].trace_id = vec![0; 16];
    for (body, complaint) in [
        (b"{}".to_vec(), "failed to decode"),
        (twice.encode_to_vec(), "attribute index comes twice"),
        (unidentified.encode_to_vec(), "is no identifier of 16 bytes"),
    ] {
        let response = post(&receiver, "/v1/traces", body).await.unwrap();
        assert_eq!(response.status(), 400);
        let failures = receiver.take_decode_failures();
        assert!(failures[0].contains(complaint), "{failures:?}");
    }
    for (name, value, status) in [
        ("content-encoding", "gzip", 400),
        ("content-encoding", "zstd", 400),
        ("content-type", "text/plain", 415),
    ] {
        let url = receiver.endpoint() + "/v1/traces";
        let plain = client().post(url).body(request(1).encode_to_vec());
        let plain = plain.header(name, value);
        let plain = match name {
            "content-type" => plain,
            _ => plain.header("content-type", "application/x-protobuf"),
        };
        assert_eq!(plain.send().await.unwrap().status(), status);
        assert_eq!(receiver.take_decode_failures().len(), 1);
    }
    assert_eq!(receiver.spans(), []);
}
