use std::fs;

use serde_json::json;

use crate::{
    client::{done, text},
    program::Program,
    state::State,
};

/// What only Ann's own answers may have.
const SECRET: &str = "moonshine";

#[tokio::test]
async fn no_caller_sees_anything_of_another_one() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let (ann, bob) = (program.client("ann"), program.client("bob"));
    let name = format!("{SECRET}.txt");
    let upload = ann.put(&format!("/uploads/{name}"), SECRET).await.body;
    let first = json!({"prompt": format!("echo {SECRET}"), "attachments": [upload["id"]]});
    let (thread, _) = ann.run(&first).await;
    let second = json!({"prompt": format!("publish {SECRET}"), "thread": thread});
    let mut running = ann.turn(&second).await;
    let (id, _) = running.thread().await;
    let question = running.until("approval").await;
    assert!(text(&question["question"]).contains(SECRET));

    let mut seen = Vec::new();
    for path in ["/threads", "/uploads", "/approvals"] {
        let answer = bob.get(path).await;
        assert_eq!(answer.body, json!([]), "{path}");
        seen.push(answer);
    }
    let health = bob.get("/healthz").await;
    assert_eq!(health.body["calls"], json!([]));
    seen.push(health);
    let accept = json!({"decision": "accept"});
    let resume = json!({"prompt": "hi", "thread": thread});
    let attach = json!({"prompt": "hi", "attachments": [upload["id"]]});
    for answer in [
        bob.get(&format!("/threads/{thread}")).await,
        bob.get(&format!("/turns/{id}")).await,
        bob.post(&format!("/approvals/{}", question["id"]), &accept)
            .await,
        bob.post("/turns", &resume).await,
        bob.post("/turns", &attach).await,
    ] {
        answer.assert_error(404, "invalid_request");
        seen.push(answer);
    }
    // The tool works for the caller of the turn.
    assert_eq!(bob.says("upload").await, "[]");
    for answer in &seen {
        let text = format!("{} {:?}", answer.body, answer.headers);
        assert!(
            !text.contains(SECRET) && !text.contains(&thread),
            "{answer:?}"
        );
    }

    let path = format!("/approvals/{}", question["id"]);
    assert_eq!(ann.post(&path, &accept).await.status, 204);
    done(&running.rest().await);
    program.ends(&state).await;
    // What operators see has no content.
    for file in ["events.jsonl", "log"] {
        let text = fs::read_to_string(state.path().join(file)).unwrap();
        assert!(!text.contains(SECRET), "{file}: {text}");
    }
}

#[tokio::test]
async fn no_answer_has_a_path_of_the_machine() {
    let state = State::new();
    let program = Program::start(&state, &["--max-upload", "1000"]).await;
    let client = program.client("ann");
    let upload = client.put("/uploads/notes.txt", "notes").await;
    let mut seen = Vec::new();
    let attached = json!({"prompt": "upload", "attachments": [upload.body["id"]]});
    let mut stream = client.turn(&attached).await;
    let (_, thread) = stream.thread().await;
    stream.until("done").await;
    seen.push(stream.text.clone());
    for body in [
        json!({"prompt": "crash", "attachments": [upload.body["id"]]}),
        json!({"prompt": "hi", "thread": thread, "model": "\0"}),
    ] {
        match client.try_turn(&body).await {
            Ok(mut stream) => {
                stream.until("error").await;
                seen.push(stream.text.clone());
            }
            Err(answer) => seen.push(answer.body.to_string()),
        }
    }
    // A thread whose file is gone.
    let rollout = format!("codex-home/sessions/rollout-{thread}.jsonl");
    fs::remove_file(state.path().join(rollout)).unwrap();
    let gone = json!({"prompt": "hi", "thread": thread});
    let answer = client.try_turn(&gone).await.err().expect("no stream");
    answer.assert_error(400, "invalid_request");
    seen.push(answer.body.to_string());
    // A store whose directory is gone.
    fs::remove_dir_all(state.path().join("callers/ann/attachments")).unwrap();
    seen.push(client.put("/uploads/a", "x").await.body.to_string());
    seen.push(client.get("/uploads").await.body.to_string());
    seen.push(client.post("/turns", &attached).await.body.to_string());
    seen.push(upload.body.to_string());
    for path in ["/threads", "/turns/1", "/approvals", "/healthz"] {
        seen.push(client.get(path).await.body.to_string());
    }
    seen.push(
        client
            .get(&format!("/threads/{thread}"))
            .await
            .body
            .to_string(),
    );
    program.ends(&state).await;
    let path = state.path().to_str().unwrap();
    for text in seen {
        assert!(!text.contains(path), "{text}");
    }
}

#[tokio::test]
async fn no_process_of_codex_has_the_tokens_in_its_environment() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    let mut stream = client.turn(&json!({"prompt": "hang"})).await;
    stream.until("progress").await;
    let processes = state.processes();
    let of_codex = processes
        .iter()
        .filter(|process| !process.ends_with(program.id().to_string()));
    let mut count = 0;
    for process in of_codex {
        let environment = fs::read(process.join("environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment);
        assert!(!environment.contains("the-token-of"), "{environment}");
        count += 1;
    }
    assert!(count > 0, "{processes:?}");
    drop(stream);
    client
        .get_until("/healthz", |health| health["active"] == json!({}))
        .await;
    program.ends(&state).await;
}
