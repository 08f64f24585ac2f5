use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    client::{Client, done, text},
    program::Program,
    state::State,
};

/// How many clients there are, of which a third go away.
const CLIENTS: usize = 50;

/// Returns whether the turn of a client ends only when the client goes away.
fn hangs(number: usize) -> bool {
    number.is_multiple_of(6)
}

/// Runs a turn, or goes away from it.
async fn visit(client: Client, number: usize, upload: &Value) {
    let prompt = match number % 5 {
        0 => "look around".to_owned(),
        1 => format!("echo {number}"),
        2 => "upload".to_owned(),
        3 => "long 200".to_owned(),
        _ => "command git status".to_owned(),
    };
    let prompt = match hangs(number) {
        true => "hang".to_owned(),
        false => prompt,
    };
    let body = json!({"prompt": prompt, "attachments": [upload["id"]]});
    let mut stream = client.turn(&body).await;
    if number.is_multiple_of(3) {
        // At once, or in the middle.
        for _ in 0..number % 4 {
            stream.next().await;
        }
        return;
    }
    let answer = done(&stream.rest().await);
    // The files of a turn come after its prompt.
    assert!(!prompt.starts_with("echo") || answer.starts_with(&format!("{prompt}\n")));
}

#[tokio::test]
async fn of_fifty_clients_each_is_answered_or_gone_and_nothing_is_left() {
    let state = State::new();
    let options = ["--queue", "64", "--accept", "git status"];
    let program = Program::start(&state, &options).await;
    let clients = [program.client("ann"), program.client("bob")];
    let mut uploads = Vec::new();
    for client in &clients {
        uploads.push(client.put("/uploads/notes.txt", "notes").await.body);
    }
    let visits = (0..CLIENTS).map(|number| {
        let client = clients[number % 2].clone();
        visit(client, number, &uploads[number % 2])
    });
    join_all(visits).await;

    for client in &clients {
        client
            .get_until("/healthz", |health| health["active"] == json!({}))
            .await;
    }
    let (mut done, mut cancelled) = (0, 0);
    for client in &clients {
        for thread in client.get("/threads").await.body.as_array().unwrap() {
            for turn in client.turns_of(&text(thread)).await {
                match turn["status"].as_str().unwrap() {
                    "ok" => done += 1,
                    "cancelled" => cancelled += 1,
                    other => panic!("{other}: {turn}"),
                }
            }
        }
    }
    assert_eq!(done + cancelled, CLIENTS);
    let hanging = (0..CLIENTS).filter(|number| hangs(*number)).count();
    assert!(cancelled >= hanging, "{cancelled}");
    for caller in ["ann", "bob"] {
        state.assert_no_lease(caller);
    }
    program.ends(&state).await;
}
