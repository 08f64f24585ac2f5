use std::{fs, os::unix::fs::PermissionsExt};

use reqwest::Method;
use serde_json::json;

use crate::{
    client::stream,
    program::{Program, command},
    state::State,
};

#[tokio::test]
async fn every_route_needs_the_token_of_a_caller() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let routes = [
        (Method::POST, "/turns"),
        (Method::GET, "/turns/1"),
        (Method::GET, "/threads"),
        (Method::GET, "/threads/01a2021f-12be-7782-b2de-86dee0c040e2"),
        (Method::PUT, "/uploads/notes.txt"),
        (Method::GET, "/uploads"),
        (Method::GET, "/approvals"),
        (Method::POST, "/approvals/1"),
        (Method::GET, "/healthz"),
        (Method::GET, "/"),
        (Method::DELETE, "/threads"),
    ];
    for token in [None, Some(""), Some("the-token-of-ann-1"), Some("ann")] {
        let client = program.client_with(token);
        for (method, path) in &routes {
            let request = client.request(method.clone(), path);
            let request = request.json(&json!({"prompt": "hi"}));
            let answer = stream(request).await.err().expect("an answer");
            answer.assert_error(401, "unauthorized");
        }
    }
    assert_eq!(state.uploads("ann"), [""; 0]);
    assert_eq!(program.client("ann").get("/threads").await.body, json!([]));
    program.ends(&state).await;
}

#[tokio::test]
async fn without_callers_there_is_one_whose_token_is_in_a_file_that_nobody_else_may_read() {
    let state = State::new();
    let file = state.path().join("token");
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let mut command = command(&state, &[]);
        command.env_remove("SERVICE_TOKENS");
        let program = Program::run(&state, command).await;
        let token = fs::read_to_string(&file).unwrap();
        let client = program.client_with(Some(&token));
        assert_eq!(client.get("/healthz").await.status, 200);
        program.ends(&state).await;
        tokens.push(token);
    }
    assert_eq!(tokens[0], tokens[1]);
    assert_eq!(
        fs::metadata(file).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[tokio::test]
async fn every_error_is_json() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    for (method, path, status) in [
        (Method::GET, "/nothing", 404),
        (Method::DELETE, "/turns/1", 404),
        (Method::GET, "/turns/x", 404),
        (Method::GET, "/turns/%ff", 400),
        (Method::GET, "/threads/%ff", 400),
        (Method::PUT, "/uploads/%ff", 400),
        (Method::POST, "/approvals/%ff", 400),
        (Method::POST, "/approvals/99999999999999999999999", 404),
    ] {
        let request = client.request(method, path);
        let request = request.json(&json!({"decision": "accept"}));
        let answer = stream(request).await.err().expect("an answer");
        answer.assert_error(status, "invalid_request");
    }
    let no_json = client.request(Method::POST, "/turns").body("{}");
    let answer = stream(no_json).await.err().expect("an answer");
    answer.assert_error(415, "invalid_request");
    program.ends(&state).await;
}
