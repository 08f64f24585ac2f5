//! What Codex tells beside items: plans, compactions, and the limits of the account.

use codex_telemetry::{
    event::names,
    turn::{Progress, Turn, TurnRequest},
};
use opentelemetry::Value;
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    app_server::AppServer,
    bench::Bench,
    calls::{assert_ok, number},
    reply::{Reply, Tokens},
    thread::assert_used,
};

impl AppServer<'_> {
    /// Runs a turn that completes, and returns its progress.
    async fn watch(&self, request: TurnRequest) -> (Turn, Vec<Progress>) {
        let (sender, mut receiver) = mpsc::channel(256);
        let turn = self.complete(request.with_progress(sender)).await;
        let mut progress = Vec::new();
        while let Ok(update) = receiver.try_recv() {
            progress.push(update);
        }
        (turn, progress)
    }
}

#[tokio::test]
async fn a_plan_of_the_agent_is_progress() {
    let plan = json!({"plan": [
        {"step": "pick plums", "status": "completed"},
        {"step": "eat them", "status": "in_progress"},
    ]});
    let script = [Reply::call("update_plan", &plan.to_string()), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    // The model has no such tool by default.
    let server =
        bench.app_server(|builder| builder.config("tools.update_plan", json!({"enabled": true})));
    let (_, progress) = server.watch(bench.ask("Go")).await;
    server.end().await;
    let plans: Vec<_> = progress
        .iter()
        .filter_map(|update| match update {
            Progress::PlanUpdated { items } => Some(items),
            _ => None,
        })
        .collect();
    let [plan] = plans[..] else {
        panic!("{progress:?}");
    };
    let steps: Vec<_> = plan
        .iter()
        .map(|step| (&*step.text, step.completed))
        .collect();
    assert_eq!(steps, [("pick plums", true), ("eat them", false)]);
    bench.calls(1);
}

#[tokio::test]
async fn a_compaction_is_a_span_event_with_its_numbers_and_progress() {
    let many = Tokens::FEW.times(1000);
    let script = [
        Reply::message("long", many),
        // It has read the whole conversation.
        Reply::message("a summary", Tokens::FEW.times(1001)),
        Reply::message("on", Tokens::FEW.times(3)),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let server = bench.app_server(|builder| builder.config("model_auto_compact_token_limit", 5000));
    let first = server.complete(bench.ask("Go")).await;
    let (second, progress) = server.watch(bench.ask_on(&first, "On")).await;
    server.end().await;
    assert_eq!(second.final_message.as_deref(), Some("on"));
    assert!(progress.contains(&Progress::Compacted), "{progress:?}");
    let calls = bench.calls(2);
    let of_turn = calls.of(&second);
    assert_ok(of_turn.turn);
    let events = of_turn.turn.span_events();
    let compaction = events.iter().find(|event| event.name == names::COMPACTION);
    let compaction = compaction.unwrap_or_else(|| panic!("{events:?}"));
    let attribute = |key: &str| {
        let mut attributes = compaction.attributes.iter();
        attributes
            .find(|attribute| attribute.key.as_str() == key)
            .map(|attribute| attribute.value.clone())
    };
    assert_eq!(attribute(names::CONTEXT_TOKENS), Some(Value::I64(15_015)));
    assert!(attribute(names::CONTEXT_WINDOW).is_some());
    // The summary and the answer. Both are responses of this turn.
    let [summary, answer] = of_turn.chats[..] else {
        panic!("{:?}", of_turn.chats);
    };
    assert_eq!(number(summary, names::INPUT_TOKENS), Some(10_010));
    assert_eq!(summary.attribute(names::CONVERSATION_COMPACTED), None);
    assert_eq!(number(answer, names::INPUT_TOKENS), Some(30));
    assert_eq!(
        answer.attribute(names::CONVERSATION_COMPACTED),
        Some(&Value::Bool(true))
    );
    assert_used(second.usage, Tokens::FEW.times(1004));
    assert_eq!(bench.model.left(), 0);
}
