//! What happens between a request and its answer.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{A, B, prompt, run, service, settle};
use crate::turn::{
    Sandbox, TurnError, TurnRequest,
    app_server::{
        CodexAppServer,
        peer::{Options, Peer},
    },
};

/// Sends as many requests as can be in flight, and returns them.
async fn fill(peer: &mut Peer) -> Vec<Value> {
    let mut requests = Vec::new();
    for _ in 0..64 {
        let router = Arc::clone(&peer.router);
        tokio::spawn(async move { router.request("test", json!({})).await.map(drop) });
        requests.push(peer.request("test").await);
    }
    requests
}

/// Runs a turn that makes a thread without a sandbox.
async fn make_thread(peer: &mut Peer, turns: &CodexAppServer) {
    let first = run(turns, prompt().with_sandbox(Sandbox::DangerFullAccess));
    peer.begin(A, "1").await;
    peer.end(A, "1", "completed").await;
    first.await.unwrap().unwrap();
}

fn in_sandbox() -> TurnRequest {
    prompt().with_resume(A).with_sandbox(Sandbox::ReadOnly)
}

#[tokio::test(start_paused = true)]
async fn the_sandbox_of_a_turn_that_was_refused_is_set_by_the_next_one() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    make_thread(&mut peer, &turns).await;
    let refused = run(&turns, in_sandbox());
    let start = peer.request("turn/start").await;
    assert_eq!(start["params"]["sandboxPolicy"]["type"], "readOnly");
    let error = json!({"code": -32001, "message": "Server overloaded; retry later."});
    let answer = json!({"id": start["id"], "error": error});
    peer.write(&answer).await;
    refused.await.unwrap().unwrap_err();

    let _next = run(&turns, in_sandbox());
    let resume = peer.request("thread/resume").await;
    peer.answer(&resume, json!({"thread": {"id": A}})).await;
    let start = peer.request("turn/start").await;
    assert_eq!(start["params"]["sandboxPolicy"]["type"], "readOnly");
}

#[tokio::test(start_paused = true)]
async fn the_sandbox_of_a_turn_that_was_not_started_is_set_by_the_next_one() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    make_thread(&mut peer, &turns).await;
    let in_flight = fill(&mut peer).await;
    let waiting = run(&turns, in_sandbox());
    settle().await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    peer.answer(&in_flight[0], json!({})).await;

    let _next = run(&turns, in_sandbox());
    let start = peer.request("turn/start").await;
    assert_eq!(start["params"]["sandboxPolicy"]["type"], "readOnly");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_started_after_the_service_began_to_stop_is_interrupted() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    make_thread(&mut peer, &turns).await;
    let in_flight = fill(&mut peer).await;
    let waiting = run(&turns, in_sandbox());
    settle().await;
    peer.router.stop();
    peer.reads_interrupt(A).await;
    peer.answer(&in_flight[0], json!({})).await;
    // Codex ignores an interrupt that comes before its turn.
    let start = peer.request("turn/start").await;
    peer.request("turn/interrupt").await;
    peer.answer(&start, json!({"turn": {"id": "2"}})).await;
    peer.end(A, "2", "interrupted").await;
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, TurnError::Stopped), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_thread_stays_loaded_for_the_turn_that_has_loaded_it_and_has_not_begun() {
    let mut options = Options::default();
    options.limits.max_threads = 0;
    let mut peer = Peer::connect(&options);
    let turns = service(&peer);
    let dropped = run(&turns, prompt());
    peer.begin(A, "1").await;
    let next = run(&turns, prompt());
    let load = peer.request("thread/start").await;
    dropped.abort();
    peer.reads_interrupt(A).await;
    // Both are read before the future of the next turn is polled.
    peer.answer(&load, json!({"thread": {"id": B}})).await;
    peer.end(A, "1", "interrupted").await;

    let mut let_go = Vec::new();
    let start = loop {
        let line = peer.read().await.unwrap();
        match line["method"].as_str() {
            Some("turn/start") => break line,
            Some("thread/unsubscribe") => let_go.push(line["params"]["threadId"].clone()),
            _ => {}
        }
    };
    assert_eq!(start["params"]["threadId"], B);
    assert_eq!(let_go, [A]);
    peer.answer(&start, json!({"turn": {"id": "2"}})).await;
    peer.end(B, "2", "completed").await;
    next.await.unwrap().unwrap();
    settle().await;
    peer.reads_let_go(B).await;
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_was_not_let_go_and_cannot_be_loaded_fails_its_turn_at_once() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    make_thread(&mut peer, &turns).await;
    for method in ["turn/start", "thread/resume"] {
        let began = Instant::now();
        let turn = run(&turns, in_sandbox());
        let request = peer.request(method).await;
        peer.reject(&request, "no rollout found").await;
        turn.await.unwrap().unwrap_err();
        assert_eq!(began.elapsed(), Duration::ZERO, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_setting_that_changes_with_each_turn_takes_no_more_memory_with_each() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    make_thread(&mut peer, &turns).await;
    for effort in ["low", "high"].repeat(10) {
        let request = prompt()
            .with_resume(A)
            .with_config("model_reasoning_effort", effort);
        let turn = run(&turns, request);
        let start = peer.request("turn/start").await;
        assert_eq!(start["params"]["effort"], effort);
        peer.answer(&start, json!({"turn": {"id": "2"}})).await;
        peer.end(A, "2", "completed").await;
        turn.await.unwrap().unwrap();
    }
    let (settings, _) = peer.router.thread(A).expect("it is loaded");
    assert_eq!(settings.config.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_threads_of_sub_agents_count_for_the_server_that_has_too_many() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let turn = run(&turns, prompt());
    peer.begin(A, "1").await;
    for number in 0..127 {
        let agent = format!("agent {number}");
        let of_agent = json!({"turn": {"id": "a", "rootTurnId": "1"}});
        peer.tell("turn/started", &agent, "a", of_agent).await;
    }
    peer.end(A, "1", "completed").await;
    turn.await.unwrap().unwrap();
    assert!(peer.router.takes_turns());
    // There is no other server.
    let error = run(&turns, prompt()).await.unwrap().unwrap_err();
    assert!(
        matches!(error, TurnError::CodexNotFound { .. }),
        "{error:?}"
    );
    assert!(!peer.router.takes_turns());
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_path_that_is_no_text_is_refused_since_the_server_would_be_told_another() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&path).unwrap();
    for request in [
        prompt().with_working_directory(&path),
        prompt().with_additional_directory(&path),
    ] {
        let error = run(&turns, request).await.unwrap().unwrap_err();
        assert!(
            matches!(error, TurnError::InvalidRequest { .. }),
            "{error:?}"
        );
    }
    assert!(peer.is_quiet().await);
}

#[tokio::test(start_paused = true)]
async fn an_approver_is_not_asked_about_what_it_cannot_be_shown() {
    let mut deep = json!([]);
    for _ in 0..200 {
        deep = json!([deep]);
    }
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let _turn = run(&turns, prompt());
    peer.begin(A, "1").await;
    let tool =
        json!({"codex_approval_kind": "mcp_tool_call", "tool_name": "rm", "tool_params": deep});
    let questions = [
        ("item/commandExecution/requestApproval", json!({})),
        (
            "item/commandExecution/requestApproval",
            json!({"command": ["rm", "-rf"]}),
        ),
        (
            "item/commandExecution/requestApproval",
            json!({"command": "ls", "additionalPermissions": deep}),
        ),
        (
            "item/commandExecution/requestApproval",
            json!({"command": "ls", "proposedExecpolicyAmendment": "rm"}),
        ),
        (
            "item/permissions/requestApproval",
            json!({"permissions": {"network": deep}}),
        ),
        (
            "item/commandExecution/requestApproval",
            json!({"kind": 7, "command": "ls"}),
        ),
        // Codex tells the changes with the item, and has told none.
        ("item/fileChange/requestApproval", json!({})),
        ("item/fileChange/requestApproval", json!({"grantRoot": 7})),
        (
            "mcpServer/elicitation/request",
            json!({"serverName": "stub", "_meta": tool}),
        ),
    ];
    for (method, mut params) in questions {
        params["threadId"] = A.into();
        params["turnId"] = "1".into();
        params["itemId"] = "c1".into();
        peer.write(&json!({"id": 7, "method": method, "params": params}))
            .await;
        let answer = peer.read().await.unwrap();
        let result = &answer["result"];
        let is_no = result["decision"] == "decline"
            || result["action"] == "decline"
            || result["permissions"] == json!({});
        assert!(is_no, "{method} {answer}");
    }
}
