//! The events of calls, and their traces.

use std::collections::BTreeMap;

use codex_telemetry::{ErrorClass, Event, Operation, Outcome, event::names};
use serde_json::{Value, json};

use crate::support::{Rig, call, headers, post, send};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Returns the only terminal event.
fn end(rig: &Rig) -> Event {
    let mut events = rig.sink.events();
    events.retain(|event| event.kind().is_terminal());
    assert_eq!(events.len(), 1, "{}", rig.sink.timeline());
    events.remove(0)
}

fn with_meta(mut call: Value, meta: Value) -> Value {
    call["params"]["_meta"] = meta;
    call
}

#[tokio::test]
async fn a_call_has_the_attributes_of_the_conventions_for_mcp() {
    let rig = Rig::start().await;
    let token = rig.server.issue_token().unwrap();
    post(
        rig.server.url(),
        token.as_str(),
        &call("echo", json!({"secret": 1})),
    )
    .await;
    let end = end(&rig);
    assert_eq!(
        (end.operation(), end.call_name()),
        (Operation::Tool, Some("echo"))
    );
    let attributes: BTreeMap<_, _> = end
        .attributes()
        .iter()
        .map(|attribute| {
            (
                attribute.key.as_str().to_owned(),
                attribute.value.to_string(),
            )
        })
        .collect();
    let text = |key: &str| attributes.get(key).map(String::as_str);
    for (key, value) in [
        (names::MCP_METHOD, "tools/call"),
        (names::MCP_PROTOCOL_VERSION, "2025-06-18"),
        (names::JSONRPC_REQUEST_ID, "7"),
        (names::NETWORK_TRANSPORT, "tcp"),
        (names::NETWORK_PROTOCOL_NAME, "http"),
        (names::CLIENT_ADDRESS, "127.0.0.1"),
        (names::MCP_SERVER, "codex_telemetry"),
        (names::TOOL_TYPE, "function"),
    ] {
        assert_eq!(text(key), Some(value), "{key}");
    }
    let port: u16 = text(names::CLIENT_PORT).unwrap().parse().unwrap();
    assert!(port > 0 && !rig.server.url().contains(&format!(":{port}/")));
}

#[tokio::test]
async fn a_call_of_a_client_is_in_the_trace_of_its_meta_or_else_of_its_headers() {
    let other = TRACEPARENT.replace("0af7", "ffff");
    let meta = json!({"traceparent": TRACEPARENT, "tracestate": "vendor=1"});
    for (meta, header) in [
        (meta.clone(), None),
        (meta, Some(&*other)),
        (json!({}), Some(TRACEPARENT)),
    ] {
        let rig = Rig::start().await;
        let token = rig.server.issue_token().unwrap();
        let url = rig.server.url();
        let mut headers = headers(url) + &format!("Authorization: Bearer {}\r\n", token.as_str());
        if let Some(header) = header {
            headers += &format!("traceparent: {header}\r\n");
        }
        let body = with_meta(call("echo", json!({})), meta);
        send(url, &headers, &body.to_string()).await;
        let end = end(&rig);
        assert_eq!(
            end.trace_id().to_string(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        let parent = end.parent_span_id().unwrap();
        assert_eq!(parent.to_string(), "b7ad6b7169203331");
        assert!(end.has_remote_parent());
    }
}

#[tokio::test]
async fn a_call_of_a_client_has_the_ids_of_its_meta_and_else_none() {
    let turn = json!({"turn_id": "turn-1"});
    let meta = json!({"callId": "call-1", "threadId": "thread-1", "x-codex-turn-metadata": turn});
    for (meta, ids) in [
        (meta, [Some("thread-1"), Some("turn-1"), Some("call-1")]),
        (json!({"callId": 7, "traceparent": "none"}), [None; 3]),
    ] {
        let rig = Rig::start().await;
        let token = rig.server.issue_token().unwrap();
        let body = with_meta(call("echo", json!({})), meta);
        post(rig.server.url(), token.as_str(), &body).await;
        let end = end(&rig);
        assert_eq!([end.thread_id(), end.turn_id(), end.call_id()], ids);
        assert_eq!(end.parent_span_id(), None);
        assert_eq!(end.originator(), None);
    }
}

#[tokio::test]
async fn a_call_that_fails_has_its_class() {
    let rig = Rig::start().await;
    let token = rig.server.issue_token().unwrap();
    post(
        rig.server.url(),
        token.as_str(),
        &call("unknown", json!({})),
    )
    .await;
    let end = end(&rig);
    assert_eq!(end.outcome(), Some(Outcome::Error));
    assert_eq!(end.error_class(), Some(ErrorClass::ToolNotFound));
}
