//! The program's own tools, which Codex calls over MCP.

use std::{convert::Infallible, sync::Arc};

use codex_telemetry::{
    ApprovalLayer, BoxError, Decision, ErrorClass, ErrorClassLayer, Event, Operation, Outcome,
    TimingLayer, ToolError, ToolService, ToolSpec,
    approval::ApprovalRequest,
    event::names,
    mcp::McpServer,
    tool::{HostTools, ToolFailure},
    tool_fn,
    turn::{ItemKind, TurnError, TurnRequest},
};
use serde_json::{Value, json};
use tokio::sync::{Barrier, mpsc};
use tower::{Layer, ServiceBuilder, service_fn};

use crate::{
    app_server::Transport,
    bench::{Bench, DEADLINE, in_time},
    calls::assert_ok,
    reply::{Ending, Reply},
};

/// The tools of the tests, as a server. `lookup` and `publish` wait for each other, and `publish` for an approval.
/// `waits` never answers, and says that it was called.
async fn serve(bench: &Bench) -> (McpServer, mpsc::UnboundedReceiver<()>) {
    let (called, calls) = mpsc::unbounded_channel();
    let approver = service_fn(|request: ApprovalRequest| async move {
        Ok::<_, Infallible>(match &*request.tool {
            "publish" => Decision::Accept,
            _ => Decision::decline("not this one"),
        })
    });
    let approver = TimingLayer::new(bench.sink.clone()).layer(approver);
    let both = Arc::new(Barrier::new(2));
    let other = Arc::clone(&both);
    let lookup = tool_fn(move |_: Value, _| {
        let both = Arc::clone(&both);
        async move {
            both.wait().await;
            Err::<Value, _>(ToolFailure::new("there is no ticket 7"))
        }
    });
    let publish = tool_fn(move |_: Value, _| {
        let other = Arc::clone(&other);
        async move {
            other.wait().await;
            Ok::<_, BoxError>(json!({"published": true}))
        }
    });
    let publish = ApprovalLayer::new(approver, DEADLINE).layer(publish);
    let echo = tool_fn(|_: Value, _| async move { Ok::<_, BoxError>("echoed") });
    let waits = tool_fn(move |_: Value, _| {
        let called = called.clone();
        async move {
            called.send(())?;
            std::future::pending::<Result<Value, BoxError>>().await
        }
    });
    let spec = |name| ToolSpec::new(name, "A tool of the tests");
    let registry = ToolService::builder()
        .tool(spec("lookup"), lookup)
        .tool(spec("publish"), publish)
        .tool(spec("echo"), echo)
        .tool(spec("waits"), waits)
        .build()
        .unwrap();
    let stack = ServiceBuilder::new()
        .layer(TimingLayer::new(bench.sink.clone()))
        .layer(ErrorClassLayer::new(ToolError::classification))
        .service(registry.clone());
    let tools = HostTools::new(&registry, stack, DEADLINE);
    (McpServer::start(tools).await.unwrap(), calls)
}

/// Returns a response with calls of tools at once.
fn calls(tools: &[&str]) -> Reply {
    let call = |tool: &&str| {
        let call = json!({
            "type": "function_call", "call_id": format!("call_{tool}"), "namespace": "mcp__codex_telemetry",
            "name": tool, "arguments": "{}",
        });
        json!({"type": "response.output_item.done", "item": call})
    };
    let end = json!({"type": "response.completed", "response": {"id": "r"}});
    Reply::stream(tools.iter().map(call).chain([end]), Ending::Closed)
}

/// Returns a request for a transport.
fn request(bench: &Bench, transport: Transport, server: &McpServer) -> TurnRequest {
    let request = match transport {
        Transport::Exec => bench.request("Go"),
        Transport::AppServer => bench.ask("Go"),
    };
    request.with_mcp_server(server)
}

/// Returns what the model has got for a call, as text.
fn output(bench: &Bench, call: &str) -> String {
    let asked = bench.model.asked().pop().unwrap().json();
    let items = asked["input"].as_array().unwrap();
    let output = items
        .iter()
        .find(|item| item["type"] == "function_call_output" && item["call_id"] == call);
    output.unwrap_or_else(|| panic!("{asked:#}"))["output"].to_string()
}

#[tokio::test]
async fn two_tools_at_once_of_which_one_fails_and_one_is_approved_are_calls_of_the_turn() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([calls(&["lookup", "publish"]), Reply::done()]) else {
            return;
        };
        let (server, _calls) = serve(&bench).await;
        let request = request(&bench, transport, &server);
        let turn = match transport {
            Transport::Exec => bench.run(request).await.unwrap(),
            Transport::AppServer => {
                let turns = bench.app_server(|builder| builder);
                let turn = turns.complete(request).await;
                turns.end().await;
                turn
            }
        };
        assert_eq!(turn.final_message.as_deref(), Some("done"));
        assert!(
            output(&bench, "call_lookup").contains("tool `lookup` failed: there is no ticket 7")
        );
        assert!(output(&bench, "call_publish").contains(r#"{\"published\":true}"#));
        let items = turn.items.iter();
        let items = items.filter(
            |item| matches!(&item.kind, ItemKind::McpToolCall { server, .. } if server == "codex_telemetry"),
        );
        assert_eq!(items.count(), 2, "{transport:?}");

        // It checks the parents, the traces and the ids.
        let calls = bench.calls(1);
        assert_ok(calls.turn());
        assert_eq!(calls.tools.len(), 2, "{}", bench.sink.timeline());
        let tool = |name| {
            calls
                .tools
                .iter()
                .find(|tool| tool.call_name() == Some(name))
                .unwrap()
        };
        let (lookup, publish) = (tool("lookup"), tool("publish"));
        assert_ok(publish);
        assert_eq!(lookup.outcome(), Some(Outcome::Error));
        assert_eq!(lookup.error_class(), Some(ErrorClass::ToolFailed));
        for (tool, id) in [(lookup, "call_lookup"), (publish, "call_publish")] {
            assert_eq!(tool.call_id(), Some(id), "{transport:?}");
            assert!(tool.turn_id().is_some());
            assert_eq!(
                tool.attribute(names::MCP_METHOD),
                Some(&"tools/call".into())
            );
            assert_eq!(
                tool.attribute(names::MCP_PROTOCOL_VERSION),
                Some(&"2025-06-18".into())
            );
            assert!(tool.duration() <= calls.turn().duration());
        }
        // Each has waited for the other, and one of them for the approval as well.
        let [approval] = &calls.approvals[..] else {
            panic!("{:?}", calls.approvals);
        };
        assert_eq!(approval.parent_span_id(), Some(publish.span_id()));
        assert_eq!(
            publish.attribute(names::APPROVAL_DECISION),
            Some(&"accept".into())
        );
        assert!(approval.duration() <= publish.duration());
        assert!(approval.time() <= lookup.time());
    }
}

#[tokio::test]
async fn a_turn_that_is_dropped_cancels_the_tool_that_it_waits_for() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([calls(&["waits"])]) else {
            return;
        };
        let (server, mut calls) = serve(&bench).await;
        let request = request(&bench, transport, &server);
        match transport {
            Transport::Exec => tokio::select! {
                result = bench.run(request) => panic!("the turn ended by itself: {result:?}"),
                called = in_time(calls.recv()) => called.unwrap(),
            },
            Transport::AppServer => {
                let turns = bench.app_server(|builder| builder);
                tokio::select! {
                    result = turns.run(request) => panic!("the turn ended by itself: {result:?}"),
                    called = in_time(calls.recv()) => called.unwrap(),
                }
                turns.end().await;
            }
        }
        let calls = bench.calls(1);
        let outcomes = [calls.turn().outcome(), calls.tool().outcome()];
        assert_eq!(outcomes, [Some(Outcome::Cancelled); 2], "{transport:?}");
    }
}

#[tokio::test]
async fn a_later_turn_of_a_thread_has_the_tools_and_one_without_the_server_does_not() {
    let Some(bench) = Bench::start([calls(&["echo"]), Reply::done()]) else {
        return;
    };
    let (server, _calls) = serve(&bench).await;
    let turns = bench.app_server(|builder| builder);
    let first = turns
        .complete(request(&bench, Transport::AppServer, &server))
        .await;
    assert!(output(&bench, "call_echo").contains("echoed"));

    bench.model.then([calls(&["echo"]), Reply::done()]);
    let later = bench.ask_on(&first, "Again").with_mcp_server(&server);
    turns.complete(later).await;
    let tools = bench.calls(2).tools;
    assert_eq!(tools.len(), 2);
    assert!(tools.iter().all(|tool| tool.outcome() == Some(Outcome::Ok)));

    bench.model.then([calls(&["echo"]), Reply::done()]);
    turns.complete(bench.ask_on(&first, "Without")).await;
    let calls = bench.calls(3);
    // It came in, and was refused: the item is its event.
    let refused = calls.tools.last().unwrap();
    assert_eq!(refused.outcome(), Some(Outcome::Error));
    assert_eq!(refused.attribute(names::MCP_METHOD), None);

    let (other, _calls) = serve(&bench).await;
    let with_other = bench.ask_on(&first, "Other").with_mcp_server(&other);
    let error = turns.run(with_other).await.unwrap_err();
    assert!(
        matches!(error, TurnError::InvalidRequest { .. }),
        "{error:?}"
    );
    turns.end().await;
}

#[tokio::test]
async fn a_thread_that_is_loaded_again_has_the_server_of_its_request() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let turns = bench.app_server(|builder| builder);
    let first = turns.complete(bench.ask("Go")).await;
    turns.end().await;
    let (server, _calls) = serve(&bench).await;
    let turns = bench.app_server(|builder| builder);
    bench.model.then([calls(&["echo"]), Reply::done()]);
    let later = bench.ask_on(&first, "Again").with_mcp_server(&server);
    turns.complete(later).await;
    assert!(output(&bench, "call_echo").contains("echoed"));
    turns.end().await;
}

#[tokio::test]
async fn a_command_of_the_turn_does_not_get_the_token() {
    let command = "printf 'token=<%s>' \"$CODEX_TELEMETRY_MCP_TOKEN\"; env | grep -c Bearer";
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([Reply::shell(command), calls(&["echo"]), Reply::done()])
        else {
            return;
        };
        let (server, _calls) = serve(&bench).await;
        let request = request(&bench, transport, &server);
        let turn = match transport {
            Transport::Exec => bench.run(request).await.unwrap(),
            Transport::AppServer => {
                let turns = bench.app_server(|builder| builder);
                let turn = turns.complete(request).await;
                turns.end().await;
                turn
            }
        };
        let outputs = turn.items.iter().filter_map(|item| match &item.kind {
            ItemKind::CommandExecution { output, .. } => Some(output.trim()),
            _ => None,
        });
        let outputs: Vec<_> = outputs.collect();
        assert_eq!(outputs, ["token=<>0"], "{transport:?}");
        assert!(output(&bench, "call_echo").contains("echoed"));
    }
}

#[tokio::test]
async fn a_proxy_in_the_environment_of_codex_does_not_keep_it_from_the_tools() {
    let Some(bench) = Bench::start([calls(&["echo"]), Reply::done()]) else {
        return;
    };
    let (server, _calls) = serve(&bench).await;
    // Nothing listens there.
    let request =
        request(&bench, Transport::Exec, &server).with_env("HTTP_PROXY", "http://127.0.0.1:9");
    let turn = bench.run(request).await.unwrap();
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    assert_eq!(bench.sink.find(Operation::Tool, Outcome::Ok).len(), 1);
}

#[tokio::test]
async fn a_call_is_a_child_of_codex_own_span_where_codex_exports_its_spans() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([calls(&["echo"]), Reply::done()]) else {
            return;
        };
        let (server, _calls) = serve(&bench).await;
        let request = request(&bench, transport, &server);
        let exporter =
            json!({"otlp-http": {"endpoint": bench.model.url("/v1/traces"), "protocol": "json"}});
        match transport {
            Transport::Exec => {
                bench
                    .run(request.with_config("otel.trace_exporter", exporter))
                    .await
                    .unwrap();
            }
            Transport::AppServer => {
                let turns =
                    bench.app_server(|builder| builder.config("otel.trace_exporter", exporter));
                turns.complete(request).await;
                turns.end().await;
            }
        }
        let end = |operation| -> Event {
            let mut events = bench.sink.find(operation, Outcome::Ok);
            assert_eq!(events.len(), 1);
            events.remove(0)
        };
        let (turn, tool) = (end(Operation::Turn), end(Operation::Tool));
        assert_eq!(tool.trace_id(), turn.trace_id());
        let parent = tool.parent_span_id().unwrap();
        assert_ne!(parent, turn.span_id(), "{transport:?}");
        let spans = bench.model.received("/v1/traces");
        let spans: String = spans
            .iter()
            .map(|request| request.json().to_string())
            .collect();
        assert!(spans.contains(&parent.to_string()), "{transport:?}");
    }
}
