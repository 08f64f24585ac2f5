//! The program with the real Codex and a model on loopback, if the binary is there.

use std::fs;

use serde_json::json;

use crate::{
    binary,
    client::done,
    isolated::settings,
    model::Model,
    program::{Program, command},
    reply::Reply,
    state::State,
};

#[tokio::test]
async fn with_the_real_codex_a_turn_publishes_what_its_caller_accepts_and_its_thread_goes_on() {
    let Some(codex) = binary::codex() else {
        return;
    };
    let model = Model::start([
        Reply::calls([("publish", json!({"text": "Faster start"}))]),
        Reply::done(),
        Reply::done(),
    ]);
    let state = State::new();
    // Below the directory by which the processes of the test are known.
    let home = state.path().join("home");
    fs::create_dir(&home).unwrap();
    let mut threads = Vec::new();
    for (prompt, publishes) in [("write the notes", true), ("and again", false)] {
        let mut command = command(&state, &["--codex", codex.to_str().unwrap()]);
        command
            .env("CODEX_HOME", &home)
            .env("HOME", &home)
            .env("MOCK_KEY", "k");
        fs::write(home.join("config.toml"), config(&model)).unwrap();
        let program = Program::run(&state, command).await;
        let client = program.client("ann");
        let body = json!({"prompt": prompt, "thread": threads.last()});
        let mut stream = client.turn(&body).await;
        threads.push(stream.thread().await.1);
        if publishes {
            let question = stream.until("approval").await;
            let path = format!("/approvals/{}", question["id"]);
            let answer = client.post(&path, &json!({"decision": "accept"})).await;
            assert_eq!(answer.status, 204);
        }
        done(&stream.rest().await);
        program.ends(&state).await;
    }

    assert_eq!(threads[0], threads[1]);
    let program = Program::start(&state, &[]).await;
    let turns = program.client("ann").turns_of(&threads[0]).await;
    assert_eq!(turns[0]["published"], json!(["Faster start"]));
    assert_eq!(turns.len(), 2);
    program.ends(&state).await;
    // The model saw the first turn in the second one.
    let last = model.asked().pop().unwrap();
    assert!(last.is_about("write the notes") && last.is_about("and again"));
}

fn config(model: &Model) -> String {
    let mut file = "model = \"gpt-5.5\"\n".to_owned();
    for (key, value) in settings(&model.url("/v1")) {
        match value {
            serde_json::Value::Object(table) => {
                for (of, value) in table {
                    file += &format!("{key}.{of} = {value}\n");
                }
            }
            value => file += &format!("{key} = {value}\n"),
        }
    }
    file
}
