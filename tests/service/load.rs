use futures_util::future::join_all;
use serde_json::json;

use crate::{program::Program, state::State};

#[tokio::test]
async fn what_the_queue_does_not_hold_is_refused_and_may_come_again() {
    let state = State::new();
    let options = ["--max-turns", "1", "--queue", "1"];
    let program = Program::start(&state, &options).await;
    let client = program.client("ann");
    let body = json!({"prompt": "hang"});
    let turns = join_all((0..8).map(|_| client.try_turn(&body))).await;
    let (held, refused): (Vec<_>, Vec<_>) = turns.into_iter().partition(Result::is_ok);
    // One runs, one waits for it, and one is in the queue.
    assert!((1..=3).contains(&held.len()), "{}", held.len());
    for answer in refused {
        let answer = answer.err().unwrap();
        answer.assert_error(503, "overloaded");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    drop(held);
    client
        .get_until("/healthz", |health| health["active"] == json!({}))
        .await;
    assert_eq!(client.says("echo again").await, "echo again");
    program.ends(&state).await;
}

#[tokio::test]
async fn a_turn_whose_client_goes_away_while_it_waits_never_begins() {
    let state = State::new();
    let program = Program::start(&state, &["--max-turns", "1"]).await;
    let client = program.client("ann");
    let mut running = client.turn(&json!({"prompt": "hang"})).await;
    let (id, _) = running.thread().await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.says("echo never").await }
    });
    let waiting_turn = format!("/turns/{}", id + 1);
    client
        .get_until(&waiting_turn, |turn| turn["status"] == "running")
        .await;
    waiting.abort();
    let ended = client
        .get_until(&waiting_turn, |turn| turn["status"] != "running")
        .await;
    assert_eq!(ended["status"], "cancelled");
    assert_eq!(ended["thread"], serde_json::Value::Null);
    drop(running);
    client
        .get_until("/healthz", |health| health["active"] == json!({}))
        .await;
    assert_eq!(client.says("echo next").await, "echo next");
    assert_eq!(
        client.get("/threads").await.body.as_array().unwrap().len(),
        2
    );
    program.ends(&state).await;
}

#[tokio::test]
async fn turns_run_at_once_and_each_client_gets_its_own() {
    let state = State::new();
    let program = Program::start(&state, &["--queue", "64"]).await;
    let client = program.client("ann");
    let prompts: Vec<_> = (0..32).map(|n| format!("echo {n} of many")).collect();
    let said = join_all(prompts.iter().map(|prompt| client.says(prompt))).await;
    assert_eq!(said, prompts);
    program.ends(&state).await;
}

#[tokio::test]
async fn a_burst_of_turns_that_may_all_run_is_not_refused() {
    let state = State::new();
    let options = ["--max-turns", "8", "--queue", "1"];
    let program = Program::start(&state, &options).await;
    let client = program.client("ann");
    for _ in 0..4 {
        let said = join_all((0..8).map(|_| client.says("echo hi"))).await;
        assert_eq!(said, ["echo hi"; 8]);
    }
    program.ends(&state).await;
}
