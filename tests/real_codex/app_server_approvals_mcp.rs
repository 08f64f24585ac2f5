//! What Codex asks beside commands and edits: tools of MCP servers, permissions, answers of the user, sub-agents.

use std::{path::Path, process::Stdio};

use codex_telemetry::{
    ErrorClass,
    approval::{Action, ApprovalRequest, Decision},
    event::names,
    turn::{ApprovalPolicy, CodexAppServerBuilder, Sandbox, TurnError},
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::{
    app_server::AppServer,
    app_server_approvals::{Approver, assert_denied, decision},
    bench::{Bench, DEADLINE, in_time},
    calls::assert_ok,
    mcp_stub,
    reply::Reply,
};

/// Returns the script of a server with two tools that may write. A call of one leaves a file with its name in
/// `directory`.
pub(crate) fn server(directory: &Path) -> String {
    let tools = r#"[{"name":"one","inputSchema":{"type":"object"}},{"name":"two","inputSchema":{"type":"object"}}]"#;
    let call = |name| {
        let path = directory.join(name);
        let path = path.display();
        format!(r#"*'"name":"{name}"'*) touch {path}; answer '{{"content":[]}}' ;;"#)
    };
    mcp_stub::script(tools, &format!("{}\n{}", call("one"), call("two")))
}

impl Bench {
    /// Returns a service with the server, that asks an approver.
    fn asking_about_tools(&self, approver: &Approver) -> AppServer<'_> {
        let server = self.mcp_server(&server(self.work.path()));
        self.asking_with(approver, |builder| {
            builder.config("mcp_servers.stub", server)
        })
    }

    /// Returns a service that asks an approver when the model wants it.
    fn asking_with(
        &self,
        approver: &Approver,
        configure: impl FnOnce(CodexAppServerBuilder) -> CodexAppServerBuilder,
    ) -> AppServer<'_> {
        self.app_server(|builder| {
            configure(builder)
                .approval_policy(ApprovalPolicy::OnRequest)
                .approver(approver.service(), DEADLINE)
        })
    }
}

fn tools(names: &[&str]) -> Vec<Reply> {
    let calls = names.iter().map(|name| Reply::mcp("stub", name));
    calls.chain([Reply::done()]).collect()
}

// === tools of MCP servers ===

#[tokio::test]
async fn a_tool_of_a_server_that_is_accepted_is_called_and_asked_about_again() {
    let Some(bench) = Bench::start(tools(&["one", "one"])) else {
        return;
    };
    let approver = Approver::always(Decision::Accept);
    let server = bench.asking_about_tools(&approver);
    server.complete(bench.ask("Go")).await;
    assert!(bench.has("one"));
    let asked = approver.asked();
    assert_eq!(asked.len(), 2);
    for asked in asked {
        assert_eq!(asked.tool, "one");
        let Action::McpToolCall {
            server,
            arguments,
            message,
            ..
        } = asked.action
        else {
            panic!("{:?}", asked.action);
        };
        assert_eq!(server, "stub");
        assert!(
            arguments.as_object().is_none_or(serde_json::Map::is_empty),
            "{arguments}"
        );
        assert!(message.contains("one"), "{message}");
    }
    let calls = bench.calls(1);
    assert_eq!(calls.tools.len(), 2);
    for tool in &calls.tools {
        assert_ok(tool);
        assert_eq!(decision(tool).as_deref(), Some("accept"));
    }
    server.end().await;
}

#[tokio::test]
async fn a_tool_of_a_server_that_is_accepted_for_the_session_is_not_asked_about_again() {
    let Some(bench) = Bench::start(tools(&["one", "one", "two"])) else {
        return;
    };
    let approver = Approver::always(Decision::AcceptForSession);
    let server = bench.asking_about_tools(&approver);
    let first = server.complete(bench.ask("Go")).await;
    let asked = || {
        let asked = approver.asked().into_iter();
        asked.map(|asked| asked.tool).collect::<Vec<_>>()
    };
    assert_eq!(asked(), ["one", "two"]);
    // The session is the thread.
    bench.model.then(tools(&["one"]));
    server.complete(bench.ask_on(&first, "Again")).await;
    assert_eq!(asked(), ["one", "two"]);
    bench.model.then(tools(&["one"]));
    server.complete(bench.ask("New")).await;
    assert_eq!(asked(), ["one", "two", "one"]);
    server.end().await;
}

#[tokio::test]
async fn a_tool_of_a_server_that_is_declined_is_not_called_and_the_turn_goes_on() {
    let Some(bench) = Bench::start(tools(&["one"])) else {
        return;
    };
    let approver = Approver::always(Decision::decline("not this one"));
    let server = bench.asking_about_tools(&approver);
    server.complete(bench.ask("Go")).await;
    assert!(!bench.has("one"));
    let calls = bench.calls(1);
    assert_ok(calls.turn());
    assert_denied(calls.tool(), "the approver declined one: not this one");
    assert_eq!(decision(calls.tool()).as_deref(), Some("decline"));
    server.end().await;
}

#[tokio::test]
async fn a_tool_of_a_server_whose_approver_cancels_is_not_called_and_ends_the_turn() {
    let Some(bench) = Bench::start(tools(&["one"])) else {
        return;
    };
    let approver = Approver::always(Decision::Cancel);
    let server = bench.asking_about_tools(&approver);
    let error = server.run(bench.ask("Go")).await.unwrap_err();
    assert!(
        matches!(&error, TurnError::CancelledByApprover { tool } if tool == "one"),
        "{error:?}"
    );
    assert!(!bench.has("one"));
    let calls = bench.calls(1);
    for event in [calls.turn(), calls.tool()] {
        assert_denied(event, "the approver of one cancelled the turn");
    }
    // Codex itself would have told the model, and gone on.
    assert_eq!(bench.model.asked().len(), 1);
    server.end().await;
}

#[tokio::test]
async fn two_calls_of_one_tool_at_once_have_their_own_answers() {
    let call = |id: &str, number: u32| {
        let call = json!({
            "type": "function_call", "call_id": id, "namespace": "mcp__stub", "name": "one",
            "arguments": json!({"number": number}).to_string(),
        });
        json!({"type": "response.output_item.done", "item": call})
    };
    // Whatever the order in which the calls are kept, some of these pairs are not in it.
    let pairs = 4_u32;
    let pair = |pair: u32| {
        let end = json!({"type": "response.completed", "response": {"id": format!("r{pair}")}});
        let calls = [
            call(&format!("yes{pair}"), 1),
            call(&format!("no{pair}"), 2),
            end,
        ];
        Reply::stream(calls, crate::reply::Ending::Closed)
    };
    let Some(bench) = Bench::start((0..pairs).map(pair).chain([Reply::done()])) else {
        return;
    };
    // Both questions of a pair are there before one of them is answered.
    let both = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let approver = tower::service_fn(move |request: ApprovalRequest| {
        let both = std::sync::Arc::clone(&both);
        async move {
            both.wait().await;
            let arguments = request.action.arguments();
            Ok::<_, std::convert::Infallible>(match arguments.unwrap()["number"].as_u64() {
                Some(1) => Decision::Accept,
                _ => Decision::decline("only the first"),
            })
        }
    });
    let mut stub = bench.mcp_server(&server(bench.work.path()));
    stub["supports_parallel_tool_calls"] = true.into();
    let server = bench.app_server(|builder| {
        builder
            .config("mcp_servers.stub", stub)
            .approval_policy(ApprovalPolicy::OnRequest)
            .approver(approver, DEADLINE)
    });
    server.complete(bench.ask("Go")).await;
    let calls = bench.calls(1);
    assert_eq!(calls.tools.len(), 2 * pairs as usize);
    for tool in &calls.tools {
        let id = tool.call_id().unwrap();
        if id.starts_with("yes") {
            assert_ok(tool);
            assert_eq!(decision(tool).as_deref(), Some("accept"), "{id}");
        } else {
            assert_denied(tool, "the approver declined one: only the first");
            assert_eq!(decision(tool).as_deref(), Some("decline"), "{id}");
        }
    }
    server.end().await;
}

// === permissions ===

fn permissions() -> Reply {
    let arguments = json!({
        "permissions": {"network": {"enabled": true}, "file_system": {"write": ["/srv"]}},
        "reason": "To publish",
    });
    Reply::call("request_permissions", &arguments.to_string())
}

/// Returns what the model has got for its request.
fn granted(bench: &Bench) -> Value {
    let asked = bench.model.asked().pop().unwrap().json();
    let outputs = asked["input"].as_array().unwrap().iter();
    let mut outputs = outputs.filter(|item| item["type"] == "function_call_output");
    let output = outputs.next_back().unwrap()["output"].as_str().unwrap();
    serde_json::from_str(output).unwrap()
}

#[tokio::test]
async fn permissions_are_granted_as_they_were_asked_for_and_only_by_a_yes() {
    for (answer, scope) in [
        (Decision::Accept, Some("turn")),
        (Decision::AcceptForSession, Some("session")),
        (Decision::decline("no"), None),
        (Decision::AcceptWithExecpolicyAmendment, None),
    ] {
        let Some(bench) = Bench::start([permissions(), Reply::done()]) else {
            return;
        };
        let approver = Approver::always(answer.clone());
        let server = bench.asking_with(&approver, |builder| {
            builder.config("features.request_permissions_tool", true)
        });
        let request = bench.ask("Go").with_sandbox(Sandbox::WorkspaceWrite);
        server.complete(request).await;
        let asked = approver.asked();
        let [asked] = &asked[..] else {
            panic!("{asked:?}");
        };
        assert_eq!(asked.tool, "request_permissions");
        let Action::Permissions {
            permissions,
            reason,
            ..
        } = &asked.action
        else {
            panic!("{asked:?}");
        };
        assert_eq!(permissions["network"]["enabled"], true);
        assert_eq!(permissions["fileSystem"]["write"], json!(["/srv"]));
        assert_eq!(reason.as_deref(), Some("To publish"));

        let got = granted(&bench);
        assert_eq!(got["scope"], scope.unwrap_or("turn"), "{answer:?}");
        let network = got["permissions"]["network"]["enabled"] == true;
        let files = got["permissions"]["file_system"]["write"] == json!(["/srv"]);
        assert_eq!(
            (network, files),
            (scope.is_some(), scope.is_some()),
            "{got}"
        );
        server.end().await;
    }
}

#[tokio::test]
async fn a_question_without_a_tool_call_is_a_call_in_the_turns_trace() {
    use codex_telemetry::ServiceBuilderExt;
    use tower::ServiceBuilder;

    let Some(bench) = Bench::start([permissions(), Reply::done()]) else {
        return;
    };
    let approver = ServiceBuilder::new()
        .timing(bench.sink.clone())
        .service(Approver::always(Decision::Accept).service());
    let server = bench.app_server(|builder| {
        builder
            .config("features.request_permissions_tool", true)
            .approval_policy(ApprovalPolicy::OnRequest)
            .approver(approver, DEADLINE)
    });
    server
        .complete(bench.ask("Go").with_sandbox(Sandbox::WorkspaceWrite))
        .await;
    let calls = bench.calls(1);
    assert!(calls.tools.is_empty());
    let [approval] = &calls.approvals[..] else {
        panic!("{:?}", calls.approvals);
    };
    assert_eq!(approval.parent_span_id(), Some(calls.turn().span_id()));
    assert_eq!(approval.trace_id(), calls.turn().trace_id());
    // The wait is of a tool, and here there is none.
    assert_eq!(calls.turn().attribute(names::APPROVAL_WAIT), None);
    server.end().await;
}

#[tokio::test]
async fn a_request_for_permissions_whose_approver_cancels_ends_the_turn() {
    let Some(bench) = Bench::start([permissions(), Reply::done()]) else {
        return;
    };
    let approver = Approver::always(Decision::Cancel);
    let server = bench.asking_with(&approver, |builder| {
        builder.config("features.request_permissions_tool", true)
    });
    let request = bench.ask("Go").with_sandbox(Sandbox::WorkspaceWrite);
    let error = server.run(request).await.unwrap_err();
    assert!(
        matches!(error, TurnError::CancelledByApprover { .. }),
        "{error:?}"
    );
    assert_eq!(bench.model.asked().len(), 1);
    assert_denied(
        bench.calls(1).turn(),
        "the approver of request_permissions cancelled the turn",
    );
    server.end().await;
}

// === what nobody is asked about ===

#[tokio::test]
async fn a_question_to_the_user_is_answered_at_once_and_the_turn_goes_on() {
    let option = |label| json!({"label": label, "description": "A way"});
    let question = json!({
        "id": "way", "header": "Way", "question": "Which?", "options": [option("a"), option("b")],
    });
    let arguments = json!({"questions": [question]}).to_string();
    let script = [Reply::call("request_user_input", &arguments), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let approver = Approver::always(Decision::Accept);
    let server = bench.asking_with(&approver, |builder| {
        builder.config("features.default_mode_request_user_input", true)
    });
    let turn = server.complete(bench.ask("Go")).await;
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    assert!(approver.asked().is_empty());
    // Codex did offer the tool.
    let tools = bench.model.asked()[0].json()["tools"].to_string();
    assert!(tools.contains("request_user_input"), "{tools}");
    server.end().await;
}

/// Talks to a server of its own, as a program that declares a tool: starts a thread with it, and runs one turn.
async fn thread_with_a_tool(bench: &Bench) -> String {
    let mut command = tokio::process::Command::new(bench.codex);
    for (key, value) in crate::isolated::settings(&bench.model.url("/v1")) {
        command.arg(format!("--config={key}={}", toml(&value)));
    }
    for name in crate::isolated::foreign_variables() {
        command.env_remove(name);
    }
    let mut child = command
        .arg("app-server")
        .env("CODEX_HOME", bench.home.path())
        .env("HOME", bench.home.path())
        .env("MOCK_KEY", "k")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut talk = async |request: Value, is_last: &dyn Fn(&Value) -> bool| {
        stdin
            .write_all(format!("{request}\n").as_bytes())
            .await
            .unwrap();
        loop {
            let line = in_time(lines.next_line()).await.unwrap().unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            if is_last(&line) {
                return line;
            }
        }
    };
    let client = json!({"name": "test", "title": null, "version": "1"});
    let capabilities = json!({"experimentalApi": true});
    let params = json!({"clientInfo": client, "capabilities": capabilities});
    talk(
        json!({"id": 1, "method": "initialize", "params": params}),
        &|line| line["id"] == 1,
    )
    .await;
    let tool = json!({
        "type": "function", "name": "lookup", "description": "Looks up",
        "inputSchema": {"type": "object", "properties": {}},
    });
    let params = json!({"model": "gpt-5.5", "cwd": bench.work.path(), "dynamicTools": [tool]});
    let started = talk(
        json!({"id": 2, "method": "thread/start", "params": params}),
        &|line| line["id"] == 2,
    )
    .await;
    let thread = started["result"]["thread"]["id"].as_str().unwrap();
    let input = json!([{"type": "text", "text": "Go"}]);
    let params = json!({"threadId": thread, "input": input});
    talk(
        json!({"id": 3, "method": "turn/start", "params": params}),
        &|line| line["method"] == "turn/completed",
    )
    .await;
    drop(stdin);
    in_time(child.wait()).await.unwrap();
    thread.to_owned()
}

/// Writes a value of the settings of these tests as TOML.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(key, value)| format!("{key}={}", toml(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        other => other.to_string(),
    }
}

#[tokio::test]
async fn a_tool_of_another_program_in_a_resumed_thread_fails_at_once_and_the_turn_goes_on() {
    let script = [Reply::done(), Reply::call("lookup", "{}"), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let thread = thread_with_a_tool(&bench).await;
    let approver = Approver::always(Decision::Accept);
    let server = bench.asking(&approver);
    let turn = server
        .complete(bench.ask("Go on").with_resume(thread))
        .await;
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    let calls = bench.calls(1);
    assert_ok(calls.turn());
    assert_eq!(calls.tool().call_name(), Some("lookup"));
    assert_eq!(calls.tool().error_class(), Some(ErrorClass::ToolNotFound));
    assert!(approver.asked().is_empty());
    server.end().await;
}

// === sub-agents ===

/// Has the model find the tools for sub-agents.
pub(crate) fn find_agents() -> Reply {
    let call = json!({
        "type": "tool_search_call", "call_id": "search", "execution": "client",
        "arguments": {"query": "spawn agent"},
    });
    let done = json!({"type": "response.output_item.done", "item": call});
    let end = json!({"type": "response.completed", "response": {"id": "search"}});
    Reply::stream([done, end], crate::reply::Ending::Closed)
}

/// Has the model start a sub-agent with a task.
pub(crate) fn spawn_agent(task: &str) -> Reply {
    let arguments = json!({"message": task}).to_string();
    let call = json!({
        "type": "function_call", "call_id": "spawn", "namespace": "multi_agent_v1", "name": "spawn_agent",
        "arguments": arguments,
    });
    let done = json!({"type": "response.output_item.done", "item": call});
    let end = json!({"type": "response.completed", "response": {"id": "spawn"}});
    Reply::stream([done, end], crate::reply::Ending::Closed)
}

#[tokio::test]
async fn what_a_sub_agent_asks_is_declined_without_the_approver() {
    // Codex asks the model of the turn once more if the sub-agent ends before it.
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let wait = crate::gate::Gate::new();
    // A request of the sub-agent has its task alone, and one of the turn has the prompt as well.
    bench.model.then_to(
        "PROMPT",
        [
            find_agents(),
            spawn_agent("TASK"),
            Reply::done().held(&wait),
        ],
    );
    bench
        .model
        .then_to("TASK", [Reply::shell("touch one"), Reply::done()]);
    let approver = Approver::new(|_: &ApprovalRequest| Decision::Accept);
    let server = bench.asking(&approver);
    let of_agent = async {
        // The sub-agent is told of its refused command while the turn still runs.
        crate::bench::until("the sub-agent goes on", || {
            let asked = bench.model.asked_about("TASK");
            let of_agent = asked.iter().filter(|request| !is_of_turn(request));
            of_agent.count() == 2
        })
        .await;
        wait.open();
    };
    let (turn, ()) = tokio::join!(server.complete(bench.ask("PROMPT")), of_agent);
    assert!(!bench.has("one"));
    assert!(approver.asked().is_empty(), "{:?}", approver.asked());
    let calls = bench.calls(1);
    let of_turn = calls.of(&turn);
    assert_ok(of_turn.turn);
    // The call of the sub-agent's start alone: what the sub-agent does is of no turn.
    let [spawn] = &of_turn.tools[..] else {
        panic!("{:?}", of_turn.tools);
    };
    assert_eq!(spawn.call_name(), Some("spawnAgent"));
    server.end().await;
}

/// Returns whether a request is of the turn, and not of its sub-agent.
pub(crate) fn is_of_turn(request: &crate::model::Recorded) -> bool {
    request.texts().iter().any(|text| text == "PROMPT")
}
