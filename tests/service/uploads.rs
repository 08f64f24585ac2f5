use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::{
    client::{done, text},
    program::Program,
    state::State,
};

#[tokio::test]
async fn an_upload_is_staged_listed_and_attached_to_a_turn() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    let answer = client.put("/uploads/notes.txt", "some notes").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let upload = answer.body;
    assert_eq!(
        (&upload["name"], &upload["size"]),
        (&json!("notes.txt"), &json!(10))
    );
    assert_eq!(client.get("/uploads").await.body, json!([upload]));

    let body = json!({"prompt": "upload", "attachments": [upload["id"]]});
    let (thread, events) = client.run(&body).await;
    let listed: Value = serde_json::from_str(&done(&events)).unwrap();
    assert_eq!(listed, json!([{"name": "notes.txt", "bytes": 10}]));
    // Codex is told where the file is.
    let turn = &state.turns_of(&thread)[0];
    let input = text(&turn["input"][0]["text"]);
    let (_, path) = input.split_once("notes.txt: ").unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "some notes");
    program.ends(&state).await;
}

#[tokio::test]
async fn an_upload_that_is_too_large_or_badly_named_leaves_no_file() {
    let state = State::new();
    let program = Program::start(&state, &["--max-upload", "1000"]).await;
    let client = program.client("ann");
    let too_large = client.put("/uploads/a", vec![0; 1001]).await;
    too_large.assert_error(413, "invalid_request");
    let badly_named = client.put("/uploads/..%2fa", "x").await;
    badly_named.assert_error(400, "invalid_request");
    assert_eq!(state.uploads("ann"), [""; 0]);
    assert_eq!(client.put("/uploads/a", vec![0; 1000]).await.status, 201);
    assert_eq!(state.uploads("ann").len(), 1);
    program.ends(&state).await;
}

#[tokio::test]
async fn a_caller_has_a_limited_number_of_uploads() {
    let state = State::new();
    let program = Program::start(&state, &["--max-uploads", "2"]).await;
    let client = program.client("ann");
    for name in ["a", "b"] {
        let path = format!("/uploads/{name}");
        assert_eq!(client.put(&path, name).await.status, 201);
    }
    let refused = client.put("/uploads/c", "c").await;
    refused.assert_error(507, "usage_limit");
    assert_eq!(state.uploads("ann").len(), 2);
    // That of another one is another number.
    assert_eq!(
        program.client("bob").put("/uploads/c", "c").await.status,
        201
    );
    program.ends(&state).await;
}

#[tokio::test]
async fn a_caller_has_few_uploads_at_once() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    let mut connections = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let mut connection = program.connect().await;
        connection.write_all(half(name).as_bytes()).await.unwrap();
        connections.push(connection);
    }
    client
        .get_until("/healthz", |health| {
            health["active"]["codex.attachment.stage"] == 4
        })
        .await;
    let refused = client.put("/uploads/e", "e").await;
    refused.assert_error(503, "overloaded");
    drop(connections);
    client
        .get_until("/healthz", |health| health["active"] == json!({}))
        .await;
    assert_eq!(client.put("/uploads/e", "e").await.status, 201);
    program.ends(&state).await;
}

/// Returns half of a request to upload.
fn half(name: &str) -> String {
    format!(
        "PUT /uploads/{name} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer the-token-of-ann-0\r\n\
         Content-Length: 1000\r\n\r\nthe beginning"
    )
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_no_file() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let mut connection = program.connect().await;
    connection.write_all(half("a").as_bytes()).await.unwrap();
    let client = program.client("ann");
    client
        .get_until("/healthz", |health| {
            !health["active"].as_object().unwrap().is_empty()
        })
        .await;
    drop(connection);
    client
        .get_until("/healthz", |health| health["active"] == json!({}))
        .await;
    assert_eq!(state.uploads("ann"), [""; 0]);
    assert_eq!(client.get("/uploads").await.body, json!([]));
    program.ends(&state).await;
}
