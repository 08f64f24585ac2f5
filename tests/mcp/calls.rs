//! Calls and their results.

use std::{sync::Arc, time::Duration};

use codex_telemetry::{BoxError, CallContext, ToolSpec, tool_fn};
use serde_json::{Value, json};
use tokio::{sync::Barrier, task::JoinSet};

use crate::support::{DEADLINE, Rig, Told, begin, call, headers, post};

#[tokio::test]
async fn a_result_is_the_text_of_the_json_or_the_text_itself_with_the_media() {
    let rig = Rig::start().await;
    let token = rig.server.issue_token().unwrap();
    let url = rig.server.url();
    let answer = post(url, token.as_str(), &call("double", json!({"number": 4}))).await;
    assert_eq!(answer.text(), (false, "8".to_owned()));
    let answer = post(url, token.as_str(), &call("echo", json!({"a": [1, "b"]}))).await;
    assert_eq!(answer.text(), (false, r#"{"a":[1,"b"]}"#.to_owned()));

    let answer = post(url, token.as_str(), &call("shows", json!({}))).await;
    let result = &answer.json()["result"];
    // By it, Codex would leave out the text.
    assert_eq!(result.get("structuredContent"), None);
    assert_eq!(
        result["content"],
        json!([
            {"type": "text", "text": "a plot"},
            {"type": "image", "data": "UE5H", "mimeType": "image/png"},
            {"type": "audio", "data": "V0FW", "mimeType": "audio/wav"},
        ])
    );
}

#[tokio::test]
async fn a_failure_is_a_result_that_the_model_can_use_and_that_holds_no_internals() {
    let rig = Rig::start().await;
    let token = rig.server.issue_token().unwrap();
    rig.registry.set_enabled("waits", false).unwrap();
    for (tool, arguments, text) in [
        (
            "fails",
            json!({}),
            "tool `fails` failed: continue without it",
        ),
        (
            "explains",
            json!({}),
            "tool `explains` failed: there is no ticket 7",
        ),
        (
            "panics",
            json!({}),
            "tool `panics` failed: continue without it",
        ),
        (
            "waits",
            json!({}),
            "tool `waits` is disabled: continue without it",
        ),
        (
            "double",
            json!({"number": "four"}),
            "invalid arguments for tool `double`: number: invalid type: string \"four\", expected i64",
        ),
    ] {
        let answer = post(rig.server.url(), token.as_str(), &call(tool, arguments)).await;
        assert_eq!(answer.status, 200, "{tool}");
        assert_eq!(answer.text(), (true, text.to_owned()), "{tool}");
    }
    let answer = post(
        rig.server.url(),
        token.as_str(),
        &call("unknown", json!({})),
    )
    .await;
    let (is_error, text) = answer.text();
    assert!(
        is_error && text.contains("`unknown`") && text.contains("`echo`"),
        "{text}"
    );
}

#[tokio::test]
async fn a_tool_that_never_answers_fails_at_its_deadline() {
    let mut rig = Rig::with(Duration::from_millis(1), |builder| builder).await;
    let token = rig.server.issue_token().unwrap();
    let answer = post(rig.server.url(), token.as_str(), &call("waits", json!({}))).await;
    let (is_error, text) = answer.text();
    assert!(
        is_error && text.starts_with("tool `waits` did not finish in time"),
        "{text}"
    );
    assert_eq!(rig.told().await, Told::Began);
    assert_eq!(rig.told().await, Told::Dropped);
}

#[tokio::test]
async fn fifty_calls_run_at_once() {
    const COUNT: usize = 50;
    let all = Arc::new(Barrier::new(COUNT));
    let meets = tool_fn(move |_: Value, _: CallContext| {
        let all = Arc::clone(&all);
        async move {
            all.wait().await;
            Ok::<_, BoxError>("met")
        }
    });
    let rig = Rig::with(DEADLINE, |builder| {
        builder.tool(ToolSpec::new("meets", "Waits for the others"), meets)
    })
    .await;
    let token = rig.server.issue_token().unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..COUNT {
        let (url, token) = (rig.server.url().to_owned(), token.as_str().to_owned());
        calls.spawn(async move { post(&url, &token, &call("meets", json!({}))).await.text() });
    }
    let results = calls.join_all().await;
    assert!(
        results
            .iter()
            .all(|result| *result == (false, "met".to_owned())),
        "{results:?}"
    );
    assert_eq!(results.len(), COUNT);
    assert_eq!(rig.registry.stats()["meets"].success, COUNT as u64);
}

#[tokio::test]
async fn large_arguments_and_results_arrive_whole() {
    const SIZE: usize = 10 << 20;
    let repeats = tool_fn(|text: Text, _| async move { Ok::<_, BoxError>(text.text.repeat(10)) });
    let rig = Rig::with(DEADLINE, |builder| {
        builder.tool(
            ToolSpec::new("repeats", "Repeats a text ten times"),
            repeats,
        )
    })
    .await;
    let token = rig.server.issue_token().unwrap();
    let text = "0123456789abcdef".repeat(SIZE / 160);
    let arguments = json!({ "text": text });
    let answer = post(
        rig.server.url(),
        token.as_str(),
        &call("repeats", arguments),
    )
    .await;
    let (is_error, result) = answer.text();
    assert!(!is_error && result.len() == SIZE && result == text.repeat(10));
}

#[derive(serde::Deserialize)]
struct Text {
    text: String,
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_call() {
    let mut rig = Rig::start().await;
    let url = rig.server.url();
    let token = rig.server.issue_token().unwrap();
    let headers = headers(url) + &format!("Authorization: Bearer {}\r\n", token.as_str());
    let connection = begin(url, &headers, &call("waits", json!({})).to_string()).await;
    assert_eq!(rig.told().await, Told::Began);
    drop(connection);
    assert_eq!(rig.told().await, Told::Dropped);
}
