use rustix::process::Signal;
use serde_json::json;
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    client::{Client, done, failed},
    program::{Program, command},
    state::State,
};

/// Waits until the program has seen a signal to end.
async fn drains(client: &Client) {
    client
        .get_until("/healthz", |health| health["status"] == "draining")
        .await;
}

#[tokio::test]
async fn after_a_signal_a_turn_ends_by_itself_and_new_ones_are_refused() {
    for signal in [Signal::TERM, Signal::INT] {
        let state = State::new();
        let program = Program::start(&state, &["--grace", "60"]).await;
        let client = program.client("ann");
        let mut stream = client.turn(&json!({"prompt": "command rm notes"})).await;
        let question = stream.until("approval").await;
        program.signal(signal);
        drains(&client).await;
        let refused = client.try_turn(&json!({"prompt": "hi"})).await;
        let refused = refused.err().expect("no stream");
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.header("retry-after").is_some());
        // What the turn needs to end is still there.
        let path = format!("/approvals/{}", question["id"]);
        let answer = client.post(&path, &json!({"decision": "accept"})).await;
        assert_eq!(answer.status, 204);
        assert_eq!(done(&stream.rest().await), "The command was run.");
        program.ends_with(&state, 0).await;
    }
}

#[tokio::test]
async fn after_the_grace_a_turn_is_interrupted_and_the_exit_code_says_so() {
    let state = State::new();
    let program = Program::start(&state, &["--grace", "0.2"]).await;
    let client = program.client("ann");
    let mut stream = client.turn(&json!({"prompt": "hang"})).await;
    let (id, _) = stream.thread().await;
    stream.until("progress").await;
    program.signal(Signal::TERM);
    assert_eq!(failed(&stream.rest().await), "interrupted");
    program.ends_with(&state, 3).await;

    let program = Program::start(&state, &[]).await;
    let path = format!("/turns/{id}");
    let recorded = program.client("ann").get(&path).await.body;
    assert_eq!(recorded["status"], "error");
    assert_eq!(recorded["class"], "interrupted");
    program.ends(&state).await;
}

#[tokio::test]
async fn a_turn_that_waits_for_its_next_attempt_ends_with_the_program() {
    let state = State::new();
    let program = Program::start(&state, &["--grace", "0"]).await;
    let client = program.client("ann");
    let prompt = json!({"prompt": "limit 50s"});
    let turn = tokio::spawn({
        let client = client.clone();
        async move { client.try_turn(&prompt).await }
    });
    // Its first attempt has ended, and Codex has asked for a pause.
    client
        .get_until("/healthz", |health| {
            health["active"] == json!({"http.request": 1, "codex.turn": 1})
        })
        .await;
    program.signal(Signal::TERM);
    // The stream may have begun by then.
    match turn.await.unwrap() {
        Ok(stream) => assert_eq!(failed(&stream.rest().await), "interrupted"),
        Err(refused) => refused.assert_error(503, "interrupted"),
    }
    program.ends_with(&state, 3).await;
}

#[tokio::test]
async fn a_second_signal_ends_the_grace() {
    let state = State::new();
    let program = Program::start(&state, &["--grace", "3600"]).await;
    let client = program.client("ann");
    let mut stream = client.turn(&json!({"prompt": "hang"})).await;
    stream.until("progress").await;
    program.signal(Signal::TERM);
    drains(&client).await;
    program.signal(Signal::TERM);
    assert_eq!(failed(&stream.rest().await), "interrupted");
    program.ends_with(&state, 3).await;
}

#[tokio::test]
async fn a_client_that_sends_half_a_request_does_not_hold_up_the_end() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let mut connections = Vec::new();
    for half in [
        "GET /health",
        "POST /turns HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer the-token-of-ann-0\r\n\
         Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
        "PUT /uploads/a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer the-token-of-ann-0\r\n\
         Content-Length: 1000\r\n\r\nthe beginning",
    ] {
        let mut connection = program.connect().await;
        connection.write_all(half.as_bytes()).await.unwrap();
        connections.push(connection);
    }
    program
        .client("ann")
        .get_until("/healthz", |health| {
            health["active"] == json!({"codex.attachment.stage": 1})
        })
        .await;
    program.ends(&state).await;
    assert_eq!(state.uploads("ann"), [""; 0]);
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_holds_up_neither_its_turn_nor_the_end() {
    let state = State::new();
    // Far more than the buffers of a connection hold.
    let body = json!({"prompt": format!("echo {}", "x".repeat(5 << 20))}).to_string();
    let program = Program::start(&state, &["--max-body", "6000000"]).await;
    let head = format!(
        "POST /turns HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer the-token-of-ann-0\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut connection = program.connect().await;
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(body.as_bytes()).await.unwrap();
    let client = program.client("ann");
    let turn = client
        .get_until("/turns/1", |turn| turn["duration_ms"].is_u64())
        .await;
    assert_eq!(turn["status"], "ok");
    program.ends(&state).await;
}

/// Runs a command to its end, and returns its exit code, and what it says on standard error.
async fn fails(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().await.unwrap();
    assert!(output.stdout.is_empty());
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[tokio::test]
async fn a_program_that_cannot_start_says_why() {
    let state = State::new();
    for options in [&["--listne"][..], &["--max-turns", "0"], &["--grace", "-1"]] {
        let (code, error) = fails(command(&state, options)).await;
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains("usage: "), "{error}");
    }
    let program = Program::start(&state, &[]).await;
    let (code, error) = fails(command(&state, &[])).await;
    assert_eq!(code, Some(1));
    assert!(
        error.contains("another service uses the directory"),
        "{error}"
    );
    for tokens in [
        "ann",
        "ann=short",
        "../ann=the-token-of-ann-0",
        "ann=the-token-of-ann-0,bob=the-token-of-ann-0",
    ] {
        let other = State::new();
        let mut command = command(&other, &[]);
        command.env("SERVICE_TOKENS", tokens);
        let (code, error) = fails(command).await;
        assert_eq!(code, Some(1), "{error}");
        assert!(!error.contains("the-token-of-ann-0"), "{error}");
    }
    program.ends(&state).await;
}
