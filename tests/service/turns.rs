use futures_util::future::join_all;
use serde_json::json;

use crate::{
    client::{Answer, Client, done, failed, text},
    program::Program,
    state::State,
};

/// Returns the answer to a turn that fails before it has anything to show. On a busy machine it can take so long that
/// there is a stream.
async fn refused(client: &Client, prompt: &str) -> Answer {
    for _ in 0..10 {
        match client.try_turn(&json!({"prompt": prompt})).await {
            Ok(stream) => drop(failed(&stream.rest().await)),
            Err(answer) => return answer,
        }
    }
    panic!("{prompt} has a stream each time");
}

#[tokio::test]
async fn a_turn_streams_and_is_in_its_thread_afterwards() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    let (thread, events) = client.run(&json!({"prompt": "look around"})).await;

    let turn = &events[0];
    assert_eq!(turn.name, "turn");
    let progress: Vec<_> = events[1..events.len() - 1]
        .iter()
        .map(|event| (event.name.as_str(), text(&event.data["type"])))
        .collect();
    assert!(progress.iter().all(|(name, _)| *name == "progress"));
    for kind in ["item.started", "item.agent_message.delta", "item.completed"] {
        assert!(progress.iter().any(|(_, of)| of == kind), "{progress:?}");
    }
    let answer = done(&events);
    let usage = &events.last().unwrap().data["usage"];
    assert!(usage["output_tokens"].as_u64().unwrap() > 0);
    assert!(
        events.last().unwrap().data["phases"]["model_ms"]
            .as_f64()
            .unwrap()
            > 0.0
    );

    assert_eq!(client.get("/threads").await.body, json!([thread]));
    let turns = client.turns_of(&thread).await;
    let [recorded] = &turns[..] else {
        panic!("{turns:?}");
    };
    assert_eq!(recorded["status"], "ok");
    assert_eq!(recorded["message"], answer);
    assert_eq!(recorded["trace"], turn.data["trace"]);
    assert!(recorded["duration_ms"].is_u64() && recorded["started"].is_string());
    let by_id = client.get(&format!("/turns/{}", turn.data["id"])).await;
    assert_eq!(by_id.body, *recorded);
    program.ends(&state).await;
}

#[tokio::test]
async fn a_thread_goes_on_with_its_next_turn() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    let (thread, _) = client.run(&json!({"prompt": "echo one"})).await;
    let (other, _) = client.run(&json!({"prompt": "echo other"})).await;
    let second = json!({"prompt": "echo two", "thread": thread});
    let (resumed, events) = client.run(&second).await;
    assert_eq!((&resumed, done(&events)), (&thread, "echo two".to_owned()));
    assert_ne!(other, thread);
    let turns = client.turns_of(&thread).await;
    let said: Vec<_> = turns.iter().map(|turn| text(&turn["message"])).collect();
    assert_eq!(said, ["echo one", "echo two"]);
    assert_eq!(state.turns_of(&thread).len(), 2);
    program.ends(&state).await;
}

#[tokio::test]
async fn a_turn_that_fails_at_once_has_the_status_of_its_class() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    client.says("echo hi").await;
    for (prompt, status, class, retry_after) in [
        ("fail", 400, "context_window", None),
        ("limit", 429, "rate_limit", Some("1")),
        ("overloaded", 503, "overloaded", Some("1")),
    ] {
        let answer = refused(&client, prompt).await;
        answer.assert_error(status, class);
        assert_eq!(answer.header("retry-after"), retry_after);
    }
    program.ends(&state).await;
}

#[tokio::test]
async fn a_turn_that_was_refused_is_tried_again_and_one_that_failed_is_not() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    for (prompt, attempts) in [("limit", 3), ("fail", 1)] {
        let before = state.events().len();
        if let Ok(stream) = client.try_turn(&json!({"prompt": prompt})).await {
            stream.rest().await;
        }
        let events = state.events().after(before);
        let turns = events.ends_of("codex.turn");
        // Each attempt, and the turn as a whole.
        assert_eq!(turns.len(), attempts + 1, "{prompt}: {turns:?}");
    }
    program.ends(&state).await;
}

#[tokio::test]
async fn a_turn_whose_server_crashes_fails_and_the_thread_goes_on() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    let (thread, events) = client.run(&json!({"prompt": "crash"})).await;
    assert_eq!(failed(&events), "transport");
    let next = json!({"prompt": "echo still here", "thread": thread});
    let (_, events) = client.run(&next).await;
    assert_eq!(done(&events), "echo still here");
    let turns = client.turns_of(&thread).await;
    assert_eq!(
        (&turns[0]["status"], &turns[1]["status"]),
        (&json!("error"), &json!("ok"))
    );
    assert_eq!(turns[0]["class"], "transport");
    program.ends(&state).await;
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_turn_and_codex_interrupts_it() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    let mut stream = client.turn(&json!({"prompt": "hang"})).await;
    let (id, thread) = stream.thread().await;
    stream.until("progress").await;
    drop(stream);

    let path = format!("/turns/{id}");
    let ended = client
        .get_until(&path, |turn| turn["status"] != "running")
        .await;
    assert_eq!(ended["status"], "cancelled");
    // The thread is free once Codex has ended the turn.
    let next = json!({"prompt": "echo next", "thread": thread});
    assert_eq!(done(&client.run(&next).await.1), "echo next");
    assert_eq!(state.turns_of(&thread)[0]["status"], "interrupted");
    let health = client.get("/healthz").await.body;
    assert_eq!(health["active"], json!({}));
    program.ends(&state).await;
}

#[tokio::test]
async fn a_body_that_is_invalid_or_too_large_starts_no_turn() {
    let state = State::new();
    let program = Program::start(&state, &["--max-body", "1000"]).await;
    let client = program.client("ann");
    for body in [
        json!({}),
        json!({"prompt": 1}),
        json!({"prompt": "hi", "thraed": "x"}),
        json!([]),
    ] {
        let answer = client.post("/turns", &body).await;
        answer.assert_error(400, "invalid_request");
    }
    let large = json!({"prompt": "x".repeat(1000)});
    client
        .post("/turns", &large)
        .await
        .assert_error(413, "invalid_request");
    for body in [
        json!({"prompt": "hi", "thread": "01a2021f-12be-7782-b2de-86dee0c040e2"}),
        json!({"prompt": "hi", "thread": "../x"}),
        json!({"prompt": "hi", "attachments": ["unknown"]}),
    ] {
        let answer = client.post("/turns", &body).await;
        answer.assert_error(404, "invalid_request");
    }
    assert_eq!(client.get("/threads").await.body, json!([]));
    program.ends(&state).await;
}

#[tokio::test]
async fn a_turn_that_takes_too_long_fails_and_its_thread_goes_on() {
    let state = State::new();
    let program = Program::start(&state, &["--turn-timeout", "3"]).await;
    let client = program.client("ann");
    let (thread, events) = client.run(&json!({"prompt": "hang"})).await;
    assert_eq!(failed(&events), "timeout");
    let next = json!({"prompt": "echo next", "thread": thread});
    assert_eq!(done(&client.run(&next).await.1), "echo next");
    assert_eq!(state.turns_of(&thread)[0]["status"], "interrupted");
    program.ends(&state).await;
}

#[tokio::test]
async fn turns_of_one_thread_run_one_after_the_other() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    let (thread, _) = client.run(&json!({"prompt": "echo first"})).await;
    let body = |prompt: String| json!({"prompt": prompt, "thread": thread});
    let bodies: Vec<_> = (0..4)
        .map(|number| body(format!("echo {number}")))
        .collect();
    let runs = join_all(bodies.iter().map(|body| client.run(body))).await;
    for (body, (_, events)) in bodies.iter().zip(&runs) {
        assert_eq!(done(events), text(&body["prompt"]));
    }
    assert_eq!(client.turns_of(&thread).await.len(), 5);
    let written = state.turns_of(&thread);
    assert!(written.iter().all(|turn| turn["status"] == "completed"));
    assert_eq!(written.len(), 5);
    program.ends(&state).await;
}
