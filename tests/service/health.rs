use serde_json::json;

use crate::{program::Program, state::State};

#[tokio::test]
async fn the_health_has_what_is_active_and_what_was_exported() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    let idle = client
        .get_until("/healthz", |health| health["active"] == json!({}))
        .await;
    assert_eq!(
        (&idle["status"], &idle["calls"]),
        (&json!("ok"), &json!([]))
    );

    let mut stream = client.turn(&json!({"prompt": "hang"})).await;
    stream.until("progress").await;
    let busy = client
        .get_until("/healthz", |health| health["active"]["codex.chat"] == 1)
        .await;
    // The turn as a whole, and its attempt.
    assert_eq!(busy["active"]["http.request"], 1);
    assert_eq!(busy["active"]["codex.turn"], 2);
    assert_eq!(busy["calls"].as_array().unwrap().len(), 4);
    let traces = &busy["export"]["traces"];
    let count = |of: &str| traces[of].as_u64().unwrap();
    assert_eq!(
        count("accepted"),
        count("exported") + count("failed") + count("filtered") + count("pending")
    );

    drop(stream);
    client
        .get_until("/healthz", |health| health["active"] == json!({}))
        .await;
    // Before the end, and not only by it.
    client
        .get_until("/healthz", |health| {
            let traces = &health["export"]["traces"];
            traces["exported"] == traces["accepted"] && traces["exported"] != 0
        })
        .await;
    program.ends(&state).await;
}
