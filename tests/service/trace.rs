use serde_json::json;

use crate::{client::stream, events::operation_of, program::Program, state::State};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

#[tokio::test]
async fn a_turn_its_tools_and_its_approval_are_in_the_trace_of_the_request() {
    let state = State::new();
    let program = Program::start(&state, &[]).await;
    let client = program.client("ann");
    let request = client
        .request(reqwest::Method::POST, "/turns")
        .header("traceparent", format!("00-{TRACE}-{PARENT}-01"))
        .header("tracestate", "vendor=1")
        .json(&json!({"prompt": "publish Faster start"}));
    let mut events = stream(request).await.unwrap();
    let (id, thread) = events.thread().await;
    let question = events.until("approval").await;
    let path = format!("/approvals/{}", question["id"]);
    client.post(&path, &json!({"decision": "accept"})).await;
    events.until("done").await;
    let recorded = client.get(&format!("/turns/{id}")).await;
    assert_eq!(recorded.body["trace"], TRACE);
    // Codex was told the trace as well, with the attempt as the parent.
    let told = state.turns_of(&thread)[0]["trace"].clone();
    drop(events);

    let spans = program.ends(&state).await;

    // Each with its parent, from the outside in.
    let chain = [
        "http.request",
        "codex.turn",
        "codex.turn",
        "codex.tool",
        "codex.approval",
    ];
    let all = state.events();
    let in_trace = all.in_trace(TRACE);
    let approval = in_trace
        .values()
        .find(|event| operation_of(event) == "codex.approval");
    let mut call = *approval.unwrap();
    let mut names = Vec::new();
    loop {
        assert_eq!(call["originator"], "ann");
        names.insert(0, operation_of(call).to_owned());
        let parent = call["parent_span_id"].as_str().unwrap();
        if parent == PARENT {
            break;
        }
        call = in_trace[parent];
    }
    assert_eq!(names, chain);
    assert!(
        in_trace
            .values()
            .any(|event| operation_of(event) == "codex.chat")
    );
    let turns: Vec<_> = all.ends_of("codex.turn");
    let attempt = turns[0]["span_id"].as_str().unwrap();
    assert_eq!(
        told,
        json!({"traceparent": format!("00-{TRACE}-{attempt}-01"), "tracestate": "vendor=1"})
    );
    for span in spans.iter().filter(|span| span.trace_id == TRACE) {
        assert!(in_trace.contains_key(&*span.span_id), "{span:?}");
        assert_eq!(span.trace_state, "vendor=1");
    }
}
