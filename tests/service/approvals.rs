use serde_json::{Value, json};

use crate::{
    client::{Client, Stream, done, text},
    program::Program,
    state::State,
};

/// Starts a turn, and returns its stream, its thread and what it asks.
async fn asks(client: &Client, prompt: &str) -> (Stream, String, Value) {
    let mut stream = client.turn(&json!({"prompt": prompt})).await;
    let (_, thread) = stream.thread().await;
    let question = stream.until("approval").await;
    (stream, thread, question)
}

async fn answers(client: &Client, question: &Value, answer: Value) -> u16 {
    let path = format!("/approvals/{}", question["id"]);
    client.post(&path, &answer).await.status.as_u16()
}

#[tokio::test]
async fn a_command_runs_if_its_caller_accepts_it_and_not_if_it_declines_it() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    for (answer, said) in [
        (json!({"decision": "accept"}), "The command was run."),
        (
            json!({"decision": "decline", "reason": "no"}),
            "The command was not run.",
        ),
    ] {
        let (stream, _, question) = asks(&client, "command rm notes").await;
        assert!(text(&question["question"]).contains("rm notes"));
        let open = client.get("/approvals").await.body;
        assert_eq!(open.as_array().unwrap().len(), 1);
        assert_eq!(open[0]["id"], question["id"]);
        assert_eq!(
            answers(&client, &question, json!({"decision": "maybe"})).await / 100,
            4
        );
        assert_eq!(answers(&client, &question, answer.clone()).await, 204);
        assert_eq!(done(&stream.rest().await), said);
        // It is answered already.
        assert_eq!(answers(&client, &question, answer).await, 404);
        assert_eq!(client.get("/approvals").await.body, json!([]));
    }
    program.ends(&state).await;
}

#[tokio::test]
async fn a_question_that_nobody_answers_in_time_is_declined() {
    let state = State::new();
    let program = Program::start(&state, &["--approval-timeout", "3"]).await;
    let client = program.client("ann");
    let (stream, _, question) = asks(&client, "command rm notes").await;
    assert_eq!(done(&stream.rest().await), "The command was not run.");
    let late = json!({"decision": "accept"});
    assert_eq!(answers(&client, &question, late).await, 404);
    program.ends(&state).await;
}

#[tokio::test]
async fn a_command_that_the_policy_accepts_is_not_asked_about() {
    let state = State::new();
    let options = ["--accept", "make", "--accept", "git status"];
    let program = Program::start(&state, &options).await;
    let client = program.client("ann");
    // Codex runs it by a shell, and quotes what needs it.
    for command in [
        "git status",
        "/bin/bash -lc 'git status'",
        "/usr/bin/zsh -lc make",
    ] {
        let accepted = json!({"prompt": format!("command {command}")});
        let (_, events) = client.run(&accepted).await;
        assert_eq!(done(&events), "The command was run.");
        assert!(events.iter().all(|event| event.name != "approval"));
    }
    // A longer one is another one.
    for command in [
        "git status; rm notes",
        "/bin/bash -lc 'make; rm notes'",
        "/bin/bash -lc make x",
    ] {
        let (stream, _, question) = asks(&client, &format!("command {command}")).await;
        let answer = json!({"decision": "decline"});
        assert_eq!(answers(&client, &question, answer).await, 204);
        assert_eq!(done(&stream.rest().await), "The command was not run.");
    }
    program.ends(&state).await;
}

#[tokio::test]
async fn what_a_turn_publishes_is_asked_about_and_is_in_its_thread() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    let (stream, thread, question) = asks(&client, "publish Faster start").await;
    assert_eq!(question["tool"], "publish");
    let answer = json!({"decision": "accept"});
    assert_eq!(answers(&client, &question, answer).await, 204);
    done(&stream.rest().await);
    let turns = client.turns_of(&thread).await;
    assert_eq!(turns[0]["published"], json!(["Faster start"]));

    let (stream, thread, question) = asks(&client, "publish nonsense").await;
    let answer = json!({"decision": "decline"});
    assert_eq!(answers(&client, &question, answer).await, 204);
    assert!(done(&stream.rest().await).contains("declined"));
    let turns = client.turns_of(&thread).await;
    assert_eq!(turns[0]["published"], Value::Null);
    program.ends(&state).await;
}

#[tokio::test]
async fn the_question_of_a_turn_that_is_cancelled_is_withdrawn() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    for prompt in ["command rm notes", "publish Faster start"] {
        let (stream, _, question) = asks(&client, prompt).await;
        drop(stream);
        client
            .get_until("/approvals", |open| *open == json!([]))
            .await;
        let late = json!({"decision": "accept"});
        assert_eq!(answers(&client, &question, late).await, 404);
    }
    client
        .get_until("/healthz", |health| health["active"] == json!({}))
        .await;
    program.ends(&state).await;
}
