//! The outputs of the program's own tools: how large they are, how many wait, and what is kept of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::{A, B, MINUTE, prompt, run, settle};
use crate::{
    call::CallContext,
    error::BoxError,
    tool::{HostTools, ToolService, ToolSpec, tool_fn},
    turn::{
        ItemKind, Turn, TurnError,
        app_server::{
            CodexAppServer, CodexAppServerBuilder,
            peer::{Options, Peer},
        },
    },
};

/// A server and a program with the tool `repeat`, which returns a text so many times.
struct Rig {
    peer: Peer,
    turns: CodexAppServer,
    /// How often the tool has returned.
    returned: Arc<AtomicUsize>,
}

impl Rig {
    fn new(
        limit: Option<usize>,
        configure: impl FnOnce(CodexAppServerBuilder) -> CodexAppServerBuilder,
    ) -> Self {
        let options = Options {
            line_limit: 64 * 1024 * 1024,
            ..Options::default()
        };
        let peer = Peer::connect(&options);
        let returned = Arc::new(AtomicUsize::new(0));
        let tool = {
            let returned = Arc::clone(&returned);
            tool_fn(move |(text, times): (String, usize), _: CallContext| {
                let returned = Arc::clone(&returned);
                async move {
                    returned.fetch_add(1, Relaxed);
                    Ok::<_, BoxError>(text.repeat(times))
                }
            })
        };
        let registry = ToolService::builder().tool(ToolSpec::new("repeat", "Repeats a text"), tool);
        let registry = registry.build().unwrap();
        let mut tools = HostTools::new(&registry, registry.clone(), MINUTE);
        if let Some(limit) = limit {
            tools = tools.with_output_limit(limit);
        }
        let builder = CodexAppServer::builder()
            .codex("/no/such/codex")
            .tools(tools);
        let turns = configure(builder).build().with_server(peer.server());
        Self {
            peer,
            turns,
            returned,
        }
    }

    async fn begin(&mut self, thread: &str) -> JoinHandle<Result<Turn, TurnError>> {
        let turn = run(&self.turns, prompt());
        self.peer.begin(thread, "turn").await;
        turn
    }

    async fn call(&mut self, thread: &str, id: usize, text: &str, times: usize) {
        let arguments = json!([text, times]);
        let params = json!({
            "threadId": thread, "turnId": "turn", "callId": format!("c{id}"), "namespace": null, "tool": "repeat",
            "arguments": arguments,
        });
        let item = json!({
            "type": "dynamicToolCall", "id": format!("c{id}"), "tool": "repeat", "status": "inProgress",
            "arguments": params["arguments"],
        });
        let fields = json!({"item": item});
        self.peer.tell("item/started", thread, "turn", fields).await;
        let request = json!({"id": id, "method": "item/tool/call", "params": params});
        self.peer.write(&request).await;
    }

    async fn answered(&mut self) -> Value {
        let answer = self.peer.read().await.expect("an answer");
        assert!(answer.get("method").is_none(), "{answer}");
        answer
    }

    /// Tells that the call has ended, and repeats its output.
    async fn complete(&mut self, thread: &str, answer: &Value) {
        let item = json!({
            "type": "dynamicToolCall", "id": format!("c{}", answer["id"]), "tool": "repeat", "status": "completed",
            "contentItems": answer["result"]["contentItems"],
        });
        let fields = json!({"item": item});
        self.peer
            .tell("item/completed", thread, "turn", fields)
            .await;
    }

    async fn end(&mut self, turn: JoinHandle<Result<Turn, TurnError>>) -> Result<Turn, TurnError> {
        self.peer.end(A, "turn", "completed").await;
        turn.await.unwrap()
    }
}

fn text_of(answer: &Value) -> &str {
    answer["result"]["contentItems"][0]["text"]
        .as_str()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_output_larger_than_the_limit_fails_its_call_and_no_other_one() {
    let mut rig = Rig::new(Some(1000), |builder| builder);
    let turn = rig.begin(A).await;
    for (times, success) in [(1001, false), (1000, true)] {
        rig.call(A, times, "x", times).await;
        let answer = rig.answered().await;
        assert_eq!(answer["id"], times);
        assert_eq!(answer["result"]["success"], success);
        if !success {
            let expected = "the output of tool `repeat` is too large: ask it for less";
            assert_eq!(text_of(&answer), expected);
        }
    }
    rig.end(turn).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_output_that_would_end_the_server_when_it_comes_back_is_not_sent() {
    let mut rig = Rig::new(None, |builder| builder.line_limit(10_000));
    let turn = rig.begin(A).await;
    // What is escaped takes six bytes.
    for (text, success) in [("\u{1}", false), ("x", true)] {
        rig.call(A, 1, text, 1000).await;
        let answer = rig.answered().await;
        assert_eq!(answer["result"]["success"], success);
        assert_eq!(text_of(&answer).contains("is too large"), !success);
    }
    rig.end(turn).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn large_outputs_that_come_back_do_not_count_and_are_not_kept() {
    let mut rig = Rig::new(None, |builder| builder.output_limit(500_000));
    let turn = rig.begin(A).await;
    for (id, times) in [(1, 400_000), (2, 400_000), (3, 10_000)] {
        rig.call(A, id, "x", times).await;
        let answer = rig.answered().await;
        assert_eq!(text_of(&answer).len(), times);
        rig.complete(A, &answer).await;
    }
    let turn = rig.end(turn).await.unwrap();
    let is_kept = turn.items.iter().map(|item| match &item.kind {
        ItemKind::DynamicToolCall { content_items, .. } => content_items.is_some(),
        other => panic!("{other:?}"),
    });
    assert_eq!(is_kept.collect::<Vec<_>>(), [false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn an_output_of_another_program_counts() {
    let mut rig = Rig::new(None, |builder| builder.output_limit(500_000));
    let turn = rig.begin(A).await;
    let output = json!([{"type": "inputText", "text": "x".repeat(600_000)}]);
    let answer = json!({"id": 1, "result": {"contentItems": output}});
    // No call of the tool came before.
    rig.complete(A, &answer).await;
    let error = rig.end(turn).await.unwrap_err();
    assert!(
        matches!(error, TurnError::OutputTooLarge { .. }),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn tools_wait_while_large_outputs_wait_to_be_written_and_go_on_when_they_are() {
    const OUTPUT: usize = 4 * 1024 * 1024;
    let mut rig = Rig::new(None, |builder| builder);
    let (first, second) = (rig.begin(A).await, rig.begin(B).await);
    for id in 0..20 {
        rig.call(A, id, "x", OUTPUT).await;
    }
    settle().await;
    assert_eq!(rig.returned.load(Relaxed), 4);
    // Those of the other turn as well.
    rig.call(B, 20, "x", 1).await;
    settle().await;
    assert_eq!(rig.returned.load(Relaxed), 4);

    let mut ids = Vec::new();
    for _ in 0..21 {
        let answer = rig.answered().await;
        assert_eq!(answer["result"]["success"], true);
        ids.push(answer["id"].as_u64().unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..21).collect::<Vec<_>>());
    rig.peer.end(B, "turn", "completed").await;
    second.await.unwrap().unwrap();
    rig.end(first).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_waits_for_room_and_is_not_polled_holds_up_no_other_one() {
    const OUTPUT: usize = 8 * 1024 * 1024;
    let mut rig = Rig::new(None, |builder| builder);
    let mut idle = Box::pin(rig.turns.clone().oneshot(prompt()));
    tokio::select! {
        biased;
        turn = &mut idle => panic!("{turn:?}"),
        () = async {
            rig.peer.begin(A, "turn").await;
            for id in 0..4 {
                rig.call(A, id, "x", OUTPUT).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        } => {}
    }
    // Nobody polls `idle` from now on, while its outputs are written.
    let other = run(&rig.turns, prompt());
    let mut load = rig.peer.read().await.unwrap();
    while load["method"] != "thread/start" {
        load = rig.peer.read().await.unwrap();
    }
    rig.peer.answer(&load, json!({"thread": {"id": B}})).await;
    rig.peer.begin_loaded(B, "turn").await;
    rig.call(B, 9, "x", 1).await;
    assert_eq!(rig.answered().await["id"], 9);
    rig.peer.end(B, "turn", "completed").await;
    other.await.unwrap().unwrap();
    drop(idle);
}
