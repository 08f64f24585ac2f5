//! The program's own tools under load: many of them, many calls at once, large arguments and results.

use std::sync::Arc;

use codex_telemetry::{
    BoxError, CallContext, ErrorClass, ErrorClassLayer, Outcome, TimingLayer, ToolError,
    ToolService, ToolSpec, event::names, tool::HostTools, tool_fn, turn::ItemKind,
};
use serde_json::json;
use tokio::sync::Barrier;
use tower::ServiceBuilder;

use crate::{
    app_server::AppServer,
    bench::{Bench, DEADLINE},
    calls::assert_ok,
    reply::Reply,
};

const CALLS: usize = 50;
const TOOLS: usize = 200;

const ARGUMENT: usize = 1_000_000;
const RESULT: usize = 10_000_000;

/// The arguments of every tool.
#[derive(serde::Deserialize)]
struct Arguments {
    text: String,
    /// How many bytes the tool returns.
    bytes: usize,
}

impl Bench {
    /// Returns a service with many tools, which answer once `at_once` of them run.
    fn with_many_tools(&self, at_once: usize) -> AppServer<'_> {
        let all = Arc::new(Barrier::new(at_once));
        let description = "Returns a text. ".repeat(128);
        let tools = (0..TOOLS).fold(ToolService::builder(), |builder, number| {
            let all = Arc::clone(&all);
            let tool = tool_fn(move |arguments: Arguments, context: CallContext| {
                let all = Arc::clone(&all);
                async move {
                    let length = i64::try_from(arguments.text.len())?;
                    context.record("test.length", length);
                    all.wait().await;
                    Ok::<_, BoxError>("y".repeat(arguments.bytes))
                }
            });
            let spec = ToolSpec::new(format!("tool_{number}"), &*description);
            builder.tool(spec, tool)
        });
        let tools = tools.build().unwrap();
        let stack = ServiceBuilder::new()
            .layer(TimingLayer::new(self.sink.clone()))
            .layer(ErrorClassLayer::new(ToolError::classification))
            .service(tools.clone());
        self.app_server(|builder| builder.tools(HostTools::new(&tools, stack, DEADLINE)))
    }
}

/// Returns calls of different tools in one response.
fn calls(count: usize, text: usize, bytes: usize) -> Reply {
    let arguments = json!({"text": "x".repeat(text), "bytes": bytes});
    let names: Vec<_> = (0..count).map(|number| format!("tool_{number}")).collect();
    Reply::calls(names.iter().map(|name| (&**name, arguments.clone())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_calls_of_two_hundred_tools_run_at_once_and_each_has_one_event() {
    let Some(bench) = Bench::start([calls(CALLS, 10, 10), Reply::done()]) else {
        return;
    };
    let server = bench.with_many_tools(CALLS);
    let turn = server.complete(bench.ask("Go")).await;
    server.end().await;
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    let [first, second] = &bench.model.asked()[..] else {
        panic!("not two requests");
    };
    let offered = first.json()["tools"].as_array().unwrap().clone();
    let is_ours = |tool: &&serde_json::Value| {
        let name = tool["name"].as_str();
        name.is_some_and(|name| name.starts_with("tool_") && name != "tool_search")
    };
    assert_eq!(offered.iter().filter(is_ours).count(), TOOLS);
    let told = second.json()["input"].as_array().unwrap().clone();
    let told = told
        .iter()
        .filter(|item| item["type"] == "function_call_output");
    let told: Vec<_> = told.map(|item| item["output"].clone()).collect();
    assert_eq!(told, vec![json!("y".repeat(10)); CALLS]);

    let calls = bench.calls(1);
    assert_ok(calls.turn());
    assert_eq!(calls.tools.len(), CALLS);
    for tool in &calls.tools {
        assert_ok(tool);
        assert_eq!(tool.parent_span_id(), Some(calls.turn().span_id()));
    }
    let count = calls.turn().attribute(names::TOOL_CALLS);
    assert_eq!(count, Some(&opentelemetry::Value::I64(50)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_of_1_mb_and_a_result_of_10_mb_pass_and_the_result_is_not_kept() {
    let Some(bench) = Bench::start([calls(1, ARGUMENT, RESULT), Reply::done()]) else {
        return;
    };
    let server = bench.with_many_tools(1);
    let turn = server.complete(bench.ask("Go")).await;
    server.end().await;
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    let kept = turn.items.iter().filter_map(|item| match &item.kind {
        ItemKind::DynamicToolCall { content_items, .. } => Some(content_items.is_some()),
        _ => None,
    });
    assert_eq!(kept.collect::<Vec<_>>(), [false]);
    let calls = bench.calls(1);
    assert_ok(calls.turn());
    assert_ok(calls.tool());
    let length = opentelemetry::Value::I64(ARGUMENT.try_into().unwrap());
    assert_eq!(calls.tool().attribute("test.length"), Some(&length));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_is_too_large_is_refused_and_the_turn_goes_on() {
    let script = [calls(1, 10, 20_000_000), Reply::done(), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let server = bench.with_many_tools(1);
    let turn = server.complete(bench.ask("Go")).await;
    let told = bench.model.asked()[1].json()["input"]
        .as_array()
        .unwrap()
        .clone();
    let told = told
        .iter()
        .find(|item| item["type"] == "function_call_output");
    let expected = "the output of tool `tool_0` is too large: ask it for less";
    assert_eq!(told.unwrap()["output"], expected);
    // The server lives.
    let second = server.complete(bench.ask_on(&turn, "On")).await;
    server.end().await;
    assert_eq!(second.final_message.as_deref(), Some("done"));
    let calls = bench.calls(2);
    // The tool has returned it.
    assert_eq!(calls.tool().outcome(), Some(Outcome::Ok));
    assert_eq!(calls.tool().error_class(), None::<ErrorClass>);
}
