//! The memory that a turn takes, whatever its server writes.

use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use serde_json::{Value, json};
use tower::{Layer, service_fn};

use super::{A, MINUTE, prompt, run};
use crate::{
    approval::{ApprovalRequest, Decision},
    event::Event,
    sink::Sink,
    timing::TimingLayer,
    tool::{HostTools, ToolCall, ToolError, ToolOutput, ToolService, ToolSpec},
    turn::{
        Turn, TurnError, TurnRequest,
        app_server::{
            CodexAppServer, CodexAppServerBuilder,
            peer::{Options, Peer},
        },
    },
};

/// The lines of a flood, and the most memory that they may take in the end, in bytes.
const FLOOD: u64 = 5_000;
const BOUND: u64 = 2 * 1024 * 1024;

/// Runs a turn whose server writes many lines, and returns the most memory that it took.
fn flood(
    request: impl Fn() -> TurnRequest,
    configure: impl FnOnce(CodexAppServerBuilder) -> CodexAppServerBuilder,
    line: impl Fn(u64) -> Value,
) -> (Result<Turn, TurnError>, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let mut result = None;
    let allocated = allocation_counter::measure(|| {
        result = Some(runtime.block_on(async {
            let mut peer = Peer::connect(&Options::default());
            let builder = CodexAppServer::builder().codex("/no/such/codex");
            let turns = configure(builder).build().with_server(peer.server());
            let turn = run(&turns, request());
            peer.begin(A, "1").await;
            let mut reader = peer.reader();
            let reading =
                tokio::spawn(
                    async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await },
                );
            for number in 0..FLOOD {
                peer.write(&line(number)).await;
            }
            peer.end(A, "1", "completed").await;
            let result = turn.await.unwrap();
            reading.abort();
            result
        }));
    });
    (result.unwrap(), allocated.bytes_max)
}

/// Checks that a flood of lines takes little memory.
#[track_caller]
fn check_flood(name: &str, line: impl Fn(u64) -> Value) {
    let (_, taken) = flood(prompt, |builder| builder, line);
    assert!(taken < BOUND, "{name}: {taken}");
}

/// Returns a notification of the turn with fields and 500 bytes more.
fn of_turn(method: &str, mut fields: Value) -> Value {
    fields["threadId"] = A.into();
    fields["turnId"] = "1".into();
    fields["filler"] = "x".repeat(500).into();
    json!({"method": method, "params": fields})
}

#[test]
fn what_nobody_wants_takes_no_memory() {
    check_flood("unknown methods", |number| {
        of_turn(&format!("hologram/{number}"), json!({}))
    });
    check_flood(
        "other threads",
        |number| json!({"method": "turn/started", "params": {"threadId": number.to_string(), "turnId": "x".repeat(500)}}),
    );
    check_flood(
        "answers",
        |number| json!({"id": number + 100, "result": "x".repeat(500)}),
    );
    check_flood("deltas", |number| {
        let delta = json!({"itemId": number.to_string(), "delta": "x".repeat(500)});
        of_turn("item/agentMessage/delta", delta)
    });
    check_flood("retries", |number| {
        let error = json!({"willRetry": true, "error": {"message": format!("{number} {}", "x".repeat(500))}});
        of_turn("error", error)
    });
    check_flood("rate limits", |number| {
        let limits = json!({"limitId": format!("{number} {}", "x".repeat(500)), "primary": {"usedPercent": number}});
        json!({"method": "account/rateLimits/updated", "params": {"rateLimits": limits}})
    });
    check_flood("usage", |number| {
        let usage = json!({"last": {"inputTokens": 1}, "total": {"inputTokens": number}});
        of_turn("thread/tokenUsage/updated", json!({"tokenUsage": usage}))
    });
    check_flood("responses", |number| {
        of_turn(
            "rawResponse/completed",
            json!({"responseId": number.to_string(), "usage": {"inputTokens": 1}}),
        )
    });
    check_flood(
        "requests",
        |number| json!({"id": number, "method": "weather/ask", "params": {"filler": "x".repeat(500)}}),
    );
}

#[test]
fn tools_that_never_end_take_bounded_memory() {
    check_flood("tools", |number| {
        let item = json!({"type": "commandExecution", "id": number.to_string(), "command": "x".repeat(500)});
        of_turn("item/started", json!({"item": item}))
    });
}

#[test]
fn questions_take_bounded_memory_while_the_approver_is_asked() {
    let asked = Arc::new(AtomicUsize::new(0));
    let approver = {
        let asked = Arc::clone(&asked);
        service_fn(move |_: ApprovalRequest| {
            asked.fetch_add(1, Relaxed);
            std::future::pending::<Result<Decision, Infallible>>()
        })
    };
    let question = |number: u64| {
        let mut line = of_turn(
            "item/commandExecution/requestApproval",
            json!({"command": "x".repeat(500)}),
        );
        line["id"] = number.into();
        line
    };
    let request = || prompt();
    let (turn, taken) = flood(
        request,
        |builder| builder.approver(approver, MINUTE),
        question,
    );
    turn.unwrap();
    assert!(taken < BOUND, "{taken}");
    assert_eq!(asked.load(Relaxed), 64);
}

/// A sink that keeps nothing.
struct Forgets;

impl Sink for Forgets {
    fn emit(&self, _: Event) {}
}

#[test]
fn calls_of_the_programs_tools_take_bounded_memory() {
    let ran = Arc::new(AtomicUsize::new(0));
    let tool = {
        let ran = Arc::clone(&ran);
        service_fn(move |call: ToolCall| {
            ran.fetch_add(1, Relaxed);
            ready(Ok::<_, ToolError>(ToolOutput::new(call.arguments)))
        })
    };
    let spec = ToolSpec::new("t", "A tool of the tests");
    let registry = ToolService::builder().tool(spec, tool).build().unwrap();
    // Each call has an event, which nobody keeps.
    let stack = TimingLayer::new(Forgets).layer(registry.clone());
    let tools = HostTools::new(&registry, stack, MINUTE);
    let call = |number: u64| {
        let call = json!({"callId": number.to_string(), "tool": "t", "arguments": {}});
        let mut line = of_turn("item/tool/call", call);
        line["id"] = number.into();
        line
    };
    let request = || prompt();
    let (turn, taken) = flood(request, |builder| builder.tools(tools), call);
    turn.unwrap();
    assert!(taken < BOUND, "{taken}");
    // Those that come faster than they run are refused.
    assert!(ran.load(Relaxed) > 1024, "{ran:?}");
}

#[test]
fn progress_that_nobody_reads_takes_bounded_memory() {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let delta = |number: u64| {
        let delta = json!({"itemId": number.to_string(), "delta": "x".repeat(500)});
        of_turn("item/agentMessage/delta", delta)
    };
    let request = || prompt().with_progress(sender.clone());
    let (_, taken) = flood(request, |builder| builder, delta);
    assert!(taken < BOUND, "{taken}");
    drop(receiver);
}

#[test]
fn the_output_limit_bounds_the_items_of_a_turn() {
    let item = |number: u64| {
        let item =
            json!({"type": "agentMessage", "id": number.to_string(), "text": "x".repeat(500)});
        of_turn("item/completed", json!({"item": item}))
    };
    let request = || prompt();
    let (turn, taken) = flood(request, |builder| builder.output_limit(512 * 1024), item);
    let error = turn.unwrap_err();
    assert!(
        matches!(error, TurnError::OutputTooLarge { .. }),
        "{error:?}"
    );
    assert!(taken < BOUND, "{taken}");
}
