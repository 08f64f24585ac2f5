//! Calls in turns of `codex exec`, of which a script is the Codex CLI.

use std::{fs, path::PathBuf, process::Command};

use codex_telemetry::{
    BoxError, CallContext, CodexClassifier, CodexExec, ErrorClass, Event, Operation, Originator,
    Outcome, ServiceBuilderExt, Turn, TurnError, TurnRequest, event::names, mcp::McpServer,
    tool::HostTools,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::unix::pipe, task::JoinHandle};
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    checked::MemorySink,
    support::{Answer, DEADLINE, Rig, Told, begin, call, headers, in_time, post, request},
};

const THREAD: &str = "01a2021f-12be-7782-b2de-86dee0c040e2";

/// A turn that runs, with what it has told the fake of Codex.
struct Running {
    turn: JoinHandle<Result<Turn, TurnError>>,
    token: String,
    arguments: String,
    /// What the fake prints. It exits when this is dropped.
    output: pipe::Sender,
    _directory: TempDir,
}

impl Running {
    /// Starts a turn of a server.
    async fn start(sink: &MemorySink, server: &McpServer, context: CallContext) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let made = Command::new("mkfifo")
            .args([path("token"), path("lines")])
            .status();
        assert!(made.unwrap().success());
        let script = format!(
            r#"cd '{}'; printf '%s\n' "$@" > arguments; printf '%s' "$CODEX_TELEMETRY_MCP_TOKEN" > token; exec cat lines"#,
            directory.path().display()
        );
        let codex = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/turn/fake-codex");
        let service = ServiceBuilder::new()
            .originator(Originator::Sdk)
            .timing(sink.clone())
            .error_class(CodexClassifier)
            .service(
                CodexExec::builder()
                    .codex(codex)
                    .exit_grace(DEADLINE)
                    .build(),
            );
        let request = TurnRequest::new("Go")
            .with_context(context)
            .with_env("FAKE_CODEX", script)
            .without_env("CODEX_INTERNAL_ORIGINATOR_OVERRIDE")
            .with_mcp_server(server);
        let turn = tokio::spawn(service.oneshot(request));
        let token = in_time(tokio::fs::read_to_string(path("token")))
            .await
            .unwrap();
        // It can be opened once the fake reads it, which is soon.
        let output = in_time(async {
            loop {
                match pipe::OpenOptions::new().open_sender(path("lines")) {
                    Ok(output) => return output,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        let output = output.await;
        let arguments = fs::read_to_string(path("arguments")).unwrap();
        let mut running = Self {
            turn,
            token,
            arguments,
            output,
            _directory: directory,
        };
        running
            .print(json!({"type": "thread.started", "thread_id": THREAD}))
            .await;
        running
    }

    async fn print(&mut self, line: Value) {
        let line = format!("{line}\n");
        in_time(self.output.write_all(line.as_bytes()))
            .await
            .unwrap();
    }

    /// Prints the start or the end of a tool's item.
    async fn item(&mut self, stage: &str, id: &str, tool: &str, rest: Value) {
        let mut item = json!({
            "id": id, "type": "mcp_tool_call", "server": "codex_telemetry", "tool": tool, "arguments": {}, "result": null,
            "error": null, "status": "in_progress",
        });
        item.as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        self.print(json!({"type": format!("item.{stage}"), "item": item}))
            .await;
    }

    async fn post(&self, server: &McpServer, body: &Value) -> Answer {
        post(server.url(), &self.token, body).await
    }

    /// Completes the turn, and returns its result.
    async fn complete(mut self) -> Result<Turn, TurnError> {
        let usage = json!({"input_tokens": 1, "output_tokens": 1});
        self.print(json!({"type": "turn.completed", "usage": usage}))
            .await;
        drop(self.output);
        in_time(self.turn).await.unwrap()
    }
}

/// Returns the terminal events of an operation.
fn ends(sink: &MemorySink, operation: Operation) -> Vec<Event> {
    let mut events = sink.events();
    events.retain(|event| event.kind().is_terminal() && event.operation() == operation);
    events
}

/// Returns the terminal events of the only turn and of its only tool.
fn ends_of_both(sink: &MemorySink) -> (Event, Event) {
    let (mut turns, mut tools) = (ends(sink, Operation::Turn), ends(sink, Operation::Tool));
    assert_eq!((turns.len(), tools.len()), (1, 1), "{}", sink.timeline());
    (turns.remove(0), tools.remove(0))
}

fn call_with_meta(tool: &str, meta: Value) -> Value {
    let mut call = call(tool, json!({}));
    call["params"]["_meta"] = meta;
    call
}

#[tokio::test]
async fn a_call_is_a_child_of_its_turn_and_its_item_has_no_event_of_its_own() {
    let rig = Rig::start().await;
    let mut running = Running::start(&rig.sink, &rig.server, CallContext::new()).await;
    running.item("started", "item_0", "echo", json!({})).await;
    let turn = json!({"turn_id": "turn-1"});
    let meta = json!({"callId": "call-1", "threadId": THREAD, "x-codex-turn-metadata": turn});
    let answer = running
        .post(&rig.server, &call_with_meta("echo", meta))
        .await;
    assert_eq!(answer.text(), (false, "{}".to_owned()));
    running
        .item(
            "completed",
            "item_0",
            "echo",
            json!({"status": "completed"}),
        )
        .await;
    let result = running.complete().await.unwrap();
    assert_eq!(result.items.len(), 1);

    let (turn, tool) = ends_of_both(&rig.sink);
    assert_eq!(tool.parent_span_id(), Some(turn.span_id()));
    assert_eq!(tool.trace_id(), turn.trace_id());
    assert_eq!(tool.originator(), Some(&Originator::Sdk));
    let ids = [tool.thread_id(), tool.turn_id(), tool.call_id()];
    assert_eq!(ids, [Some(THREAD), Some("turn-1"), Some("call-1")]);
    assert_eq!(tool.outcome(), Some(Outcome::Ok));
    assert_eq!(
        tool.attribute(names::MCP_METHOD),
        Some(&"tools/call".into())
    );
    assert_eq!(turn.attribute(names::TOOL_CALLS), Some(&1.into()));
}

#[tokio::test]
async fn codex_gets_the_token_in_its_environment_and_the_rest_on_its_command_line() {
    let rig = Rig::start().await;
    let running = Running::start(&rig.sink, &rig.server, CallContext::new()).await;
    assert_eq!(running.token.len(), 64);
    assert!(
        !running.arguments.contains(&running.token),
        "{}",
        running.arguments
    );
    let flag = |key: &str| {
        let start = format!("--config={key}=");
        let mut lines = running.arguments.lines();
        let value = lines.find_map(|line| line.strip_prefix(&start)).unwrap();
        toml::from_str::<toml::Table>(&format!("value = {value}")).unwrap()["value"].clone()
    };
    let server = flag("mcp_servers.codex_telemetry");
    assert_eq!(server["url"].as_str(), Some(rig.server.url()));
    assert_eq!(
        server["bearer_token_env_var"].as_str(),
        Some("CODEX_TELEMETRY_MCP_TOKEN")
    );
    assert_eq!(
        server["default_tools_approval_mode"].as_str(),
        Some("approve")
    );
    assert_eq!(server["required"].as_bool(), Some(true));
    assert_eq!(server["supports_parallel_tool_calls"].as_bool(), Some(true));
    let timeout = server["tool_timeout_sec"].as_float().unwrap();
    assert!(timeout > DEADLINE.as_secs_f64(), "{timeout}");
    let hidden = flag("shell_environment_policy.set.CODEX_TELEMETRY_MCP_TOKEN");
    assert_eq!(hidden.as_str(), Some(""));
    running.complete().await.unwrap();
    let events = format!("{:?}", rig.sink.events());
    assert!(!events.contains("Bearer"), "{events}");
}

#[tokio::test]
async fn each_turn_has_a_token_which_is_not_valid_after_it() {
    let rig = Rig::start().await;
    let one = Running::start(&rig.sink, &rig.server, CallContext::new()).await;
    let two = Running::start(&rig.sink, &rig.server, CallContext::new()).await;
    assert_ne!(one.token, two.token);
    let list = request("tools/list", json!({}));
    assert_eq!(one.post(&rig.server, &list).await.status, 200);
    let token = one.token.clone();
    one.complete().await.unwrap();
    for body in [&list, &call("echo", json!({}))] {
        assert_eq!(post(rig.server.url(), &token, body).await.status, 401);
    }
    assert_eq!(two.post(&rig.server, &list).await.status, 200);
    two.complete().await.unwrap();
}

#[tokio::test]
async fn a_turn_that_is_dropped_drops_its_calls_before_it_ends() {
    let mut rig = Rig::start().await;
    let running = Running::start(&rig.sink, &rig.server, CallContext::new()).await;
    let (url, token) = (rig.server.url().to_owned(), running.token.clone());
    let calling = {
        let (url, token) = (url.clone(), token.clone());
        tokio::spawn(async move { post(&url, &token, &call("waits", json!({}))).await })
    };
    assert_eq!(rig.told().await, Told::Began);
    running.turn.abort();
    assert!(in_time(running.turn).await.unwrap_err().is_cancelled());
    assert_eq!(rig.told.try_recv(), Ok(Told::Dropped));
    let answer = in_time(calling).await.unwrap();
    assert_eq!(answer.text(), (true, "the call was cancelled".to_owned()));
    assert_eq!(
        post(&url, &token, &call("waits", json!({}))).await.status,
        401
    );
    // The sink checks that the tool has ended before the turn.
    let (turn, tool) = ends_of_both(&rig.sink);
    let outcomes = [turn.outcome(), tool.outcome()];
    assert_eq!(outcomes, [Some(Outcome::Cancelled); 2]);
}

#[tokio::test]
async fn a_call_of_a_turn_is_cancelled_when_codex_closes_its_connection_and_the_turn_goes_on() {
    let mut rig = Rig::start().await;
    let running = Running::start(&rig.sink, &rig.server, CallContext::new()).await;
    let url = rig.server.url();
    let headers = headers(url) + &format!("Authorization: Bearer {}\r\n", running.token);
    let connection = begin(url, &headers, &call("waits", json!({})).to_string()).await;
    assert_eq!(rig.told().await, Told::Began);
    drop(connection);
    assert_eq!(rig.told().await, Told::Dropped);
    running.complete().await.unwrap();
    let (turn, tool) = ends_of_both(&rig.sink);
    assert_eq!(turn.outcome(), Some(Outcome::Ok));
    assert_eq!(tool.outcome(), Some(Outcome::Cancelled));
}

#[tokio::test]
async fn a_turn_that_ends_drops_its_calls() {
    let mut rig = Rig::start().await;
    let mut running = Running::start(&rig.sink, &rig.server, CallContext::new()).await;
    running.item("started", "item_0", "waits", json!({})).await;
    let (url, token) = (rig.server.url().to_owned(), running.token.clone());
    let calling = tokio::spawn(async move { post(&url, &token, &call("waits", json!({}))).await });
    assert_eq!(rig.told().await, Told::Began);
    running.complete().await.unwrap();
    assert_eq!(rig.told.try_recv(), Ok(Told::Dropped));
    in_time(calling).await.unwrap();
    let (_, tool) = ends_of_both(&rig.sink);
    assert_eq!(tool.outcome(), Some(Outcome::Cancelled));
}

#[tokio::test]
async fn a_turn_that_has_ended_takes_no_calls_while_codex_exits() {
    let mut rig = Rig::start().await;
    let mut running = Running::start(&rig.sink, &rig.server, CallContext::new()).await;
    let (url, token) = (rig.server.url().to_owned(), running.token.clone());
    let calling = tokio::spawn(async move { post(&url, &token, &call("waits", json!({}))).await });
    assert_eq!(rig.told().await, Told::Began);
    running.print(json!({"type": "turn.completed"})).await;
    assert_eq!(rig.told().await, Told::Dropped);
    in_time(calling).await.unwrap();
    let late = running.post(&rig.server, &call("echo", json!({}))).await;
    let gone = "the turn has ended: its tools are gone";
    assert_eq!(late.text(), (true, gone.to_owned()));
    drop(running.output);
    in_time(running.turn).await.unwrap().unwrap();
    let (_, tool) = ends_of_both(&rig.sink);
    assert_eq!(tool.outcome(), Some(Outcome::Cancelled));
}

#[tokio::test]
async fn a_call_that_codex_refuses_itself_has_the_event_of_its_item() {
    let rig = Rig::start().await;
    let mut running = Running::start(&rig.sink, &rig.server, CallContext::new()).await;
    let failed = json!({"status": "failed", "error": {"message": "user rejected MCP tool call"}});
    for (id, tool, end) in [
        ("item_0", "echo", json!({"status": "completed"})),
        ("item_1", "echo", failed),
    ] {
        running.item("started", id, tool, json!({})).await;
        if id == "item_0" {
            running.post(&rig.server, &call(tool, json!({}))).await;
        }
        running.item("completed", id, tool, end).await;
    }
    running.complete().await.unwrap();
    let tools = ends(&rig.sink, Operation::Tool);
    let [called, refused] = &tools[..] else {
        panic!("{}", rig.sink.timeline());
    };
    assert_eq!(called.outcome(), Some(Outcome::Ok));
    assert_eq!(refused.error_class(), Some(ErrorClass::ApprovalDenied));
    assert_eq!(
        refused.attribute(names::MCP_SERVER),
        Some(&"codex_telemetry".into())
    );
    assert_eq!(refused.attribute(names::ITEM_ID), Some(&"item_1".into()));
    assert_eq!(refused.attribute(names::MCP_METHOD), None);
}

#[tokio::test]
async fn a_call_of_a_stack_without_a_timing_layer_has_the_event_of_its_item_with_the_failure_of_the_tool()
 {
    let rig = Rig::start().await;
    let tools = HostTools::new(&rig.registry, rig.registry.clone(), DEADLINE);
    let server = McpServer::start(tools).await.unwrap();
    let mut running = Running::start(&rig.sink, &server, CallContext::new()).await;
    running.item("started", "item_0", "panics", json!({})).await;
    running.post(&server, &call("panics", json!({}))).await;
    running
        .item("completed", "item_0", "panics", json!({"status": "failed"}))
        .await;
    running.complete().await.unwrap();
    let (turn, tool) = ends_of_both(&rig.sink);
    assert_eq!(tool.parent_span_id(), Some(turn.span_id()));
    assert_eq!(tool.error_class(), Some(ErrorClass::Panic));
}

#[tokio::test]
async fn a_call_in_the_trace_of_the_turn_is_a_child_of_the_span_that_codex_names() {
    let rig = Rig::start().await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let context =
        CallContext::new().with_traceparent(&format!("00-{trace}-b7ad6b7169203331-01"), None);
    let running = Running::start(&rig.sink, &rig.server, context).await;
    for (trace, span) in [
        (trace, "00000000000000c0"),
        ("ffff651916cd43dd8448eb211c80319c", "00000000000000c1"),
    ] {
        let meta = json!({"traceparent": format!("00-{trace}-{span}-01")});
        running
            .post(&rig.server, &call_with_meta("echo", meta))
            .await;
    }
    running.complete().await.unwrap();
    let turn = &ends(&rig.sink, Operation::Turn)[0];
    let tools = ends(&rig.sink, Operation::Tool);
    let parents: Vec<_> = tools
        .iter()
        .map(|tool| tool.parent_span_id().unwrap().to_string())
        .collect();
    assert_eq!(
        parents,
        ["00000000000000c0".to_owned(), turn.span_id().to_string()]
    );
    assert!(tools.iter().all(|tool| tool.trace_id() == turn.trace_id()));
}

#[tokio::test]
async fn a_turn_with_a_server_that_was_shut_down_fails_before_codex_starts() {
    let rig = Rig::start().await;
    rig.server.shutdown(DEADLINE).await;
    let request = TurnRequest::new("Go").with_mcp_server(&rig.server);
    let turns = CodexExec::builder().codex("/no/such/codex").build();
    let error = turns.oneshot(request).await.unwrap_err();
    let TurnError::Io { source, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(source.to_string().contains("shut down"), "{source}");
    let _: BoxError = error.into();
}
