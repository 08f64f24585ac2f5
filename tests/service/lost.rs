use std::{fs::File, io::Write};

use rustix::process::Signal;
use serde_json::json;

use crate::{client::done, program::Program, state::State};

#[tokio::test]
async fn a_line_of_the_journal_that_was_torn_stops_no_start_and_costs_no_other_turn() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    let (thread, _) = client.run(&json!({"prompt": "echo before"})).await;
    program.ends(&state).await;

    let journal = state.path().join("callers/ann/turns.jsonl");
    let mut journal = File::options().append(true).open(journal).unwrap();
    // In the middle of a character.
    journal.write_all(b"{\"id\":2,\"message\":\"\xc3").unwrap();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    client
        .run(&json!({"prompt": "echo after", "thread": thread}))
        .await;
    assert_eq!(client.turns_of(&thread).await.len(), 2);
    program.ends(&state).await;
}

#[tokio::test]
async fn the_turns_of_a_program_that_was_killed_are_lost_and_their_threads_go_on() {
    let state = State::new();
    let mut program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    let upload = client.put("/uploads/notes.txt", "notes").await.body;
    let (ended, _) = client.run(&json!({"prompt": "echo before"})).await;
    let hanging = json!({"prompt": "hang", "attachments": [upload["id"]]});
    let mut stream = client.turn(&hanging).await;
    let (id, cut) = stream.thread().await;
    stream.until("progress").await;
    program.signal(Signal::KILL);
    assert_eq!(program.exit_code().await, None);
    state.no_process_is_left().await;
    state.assert_no_lease("ann");

    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    let lost = client.get(&format!("/turns/{id}")).await.body;
    assert_eq!(lost["status"], "lost");
    assert_eq!(client.turns_of(&ended).await[0]["status"], "ok");
    assert_eq!(client.get("/uploads").await.body, json!([upload]));
    for thread in [ended, cut] {
        let next = json!({"prompt": "echo after", "thread": thread});
        assert_eq!(done(&client.run(&next).await.1), "echo after");
        assert_eq!(client.turns_of(&thread).await.len(), 2);
    }
    program.ends(&state).await;
}
