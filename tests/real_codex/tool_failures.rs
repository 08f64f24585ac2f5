//! Tools that fail inside of a turn that completes.
#![cfg(unix)]

use std::fs;

use codex_telemetry::{
    ErrorClass as C,
    turn::{Sandbox, TurnRequest},
};
use serde_json::json;

use crate::{
    bench::Bench,
    calls::assert_ok,
    mcp_stub,
    reply::Reply,
    table::{Setup, each_by_both, each_tool_fails, unchanged},
};

#[tokio::test]
async fn a_failed_command_is_tool_failed() {
    let shell = |command| (Reply::shell(command), unchanged as Setup);
    let patch = |patch| (Reply::patch(patch), unchanged as Setup);
    each_tool_fails([
        (
            "a command exits with 3",
            "exited with 3",
            C::ToolFailed,
            shell("exit 3"),
        ),
        (
            "a command is missing",
            "exited with 127",
            C::ToolFailed,
            shell("no-such-command"),
        ),
        (
            "a command is not executable",
            "exited with 126",
            C::ToolFailed,
            shell("/etc/passwd"),
        ),
        (
            "a command dies by SIGKILL",
            "exited with 137",
            C::ToolFailed,
            shell("kill -KILL $$"),
        ),
        (
            "a command dies by SIGTERM",
            "exited with 143",
            C::ToolFailed,
            shell("kill -TERM $$"),
        ),
        (
            "a command crashes",
            "exited with 139",
            C::ToolFailed,
            shell("kill -SEGV $$"),
        ),
        (
            "a command exceeds its file size limit",
            "exited with 153",
            C::ToolFailed,
            shell("ulimit -f 0; echo x >file"),
        ),
        (
            "a command's output mentions other failures",
            "exited with 1",
            C::ToolFailed,
            shell("echo 'status 401, rate limit, Read-only file system'; exit 1"),
        ),
        (
            "a command's directory does not exist",
            "exited with -1",
            C::ToolFailed,
            (
                Reply::call(
                    "exec_command",
                    r#"{"cmd":"true","workdir":"/no/such/directory"}"#,
                ),
                unchanged,
            ),
        ),
        (
            "an edit of a path that is not writable",
            "",
            C::ToolFailed,
            patch("*** Begin Patch\n*** Add File: /proc/none\n+x\n*** End Patch"),
        ),
    ])
    .await;
}

/// Adds an MCP server with the tool `t`, which runs `call`.
fn server(bench: &Bench, request: TurnRequest, call: &str) -> TurnRequest {
    let tools =
        r#"[{"name":"t","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}]"#;
    let calls = format!(r#"*'"tools/call"'*) {call} ;;"#);
    let mut server = bench.mcp_server(&mcp_stub::script(tools, &calls));
    server["tool_timeout_sec"] = 0.5.into();
    request.with_config("mcp_servers.stub", server)
}

#[tokio::test]
async fn a_failed_mcp_tool_is_tool_failed() {
    let call = |setup: Setup| (Reply::mcp("stub", "t"), setup);
    each_tool_fails([
        ("an MCP tool reports a failure", "reported a failure", C::ToolFailed, call(|bench, request| {
            server(bench, request, r#"answer '{"content":[],"isError":true}'"#)
        })),
        ("an MCP server answers with an error", "reported a failure", C::ToolFailed, call(|bench, request| {
            let error = r#"printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32000,"message":"x"}}\n' "$id""#;
            server(bench, request, error)
        })),
        ("an MCP server crashes", "transport closed", C::ToolFailed, call(|bench, request| {
            server(bench, request, "kill -KILL $$")
        })),
        ("an MCP server does not answer in time", "timed out awaiting", C::ToolFailed, call(|bench, request| {
            server(bench, request, ":")
        })),
        ("an MCP server answers with garbage", "timed out awaiting", C::ToolFailed, call(|bench, request| {
            server(bench, request, "echo garbage")
        })),
    ])
    .await;
}

#[tokio::test]
async fn a_tool_call_that_codex_rejects_has_no_event() {
    let edit = |file: &str| Reply::patch(&format!("*** Begin Patch\n{file}\n*** End Patch"));
    let rows: [(&str, Reply, Setup); 10] = [
        (
            "an unknown tool",
            Reply::call("no_such_tool", "{}"),
            unchanged,
        ),
        (
            "arguments of invalid JSON",
            Reply::call("exec_command", "{broken"),
            unchanged,
        ),
        (
            "a missing argument",
            Reply::call("exec_command", "{}"),
            unchanged,
        ),
        (
            "a dangerous command",
            Reply::shell("rm -rf /no/such/directory"),
            unchanged,
        ),
        (
            "a command that asks for more rights",
            Reply::call(
                "exec_command",
                r#"{"cmd":"true","sandbox_permissions":"require_escalated","justification":"x"}"#,
            ),
            unchanged,
        ),
        (
            "an edit of a missing file",
            edit("*** Update File: none.txt\n@@\n-a\n+b"),
            unchanged,
        ),
        ("an invalid edit", Reply::patch("garbage"), unchanged),
        (
            "an edit that the sandbox forbids",
            edit("*** Add File: a.txt\n+a"),
            |_, request| request.with_sandbox(Sandbox::ReadOnly),
        ),
        (
            "a command that the user's rules forbid",
            Reply::shell("mkdir x"),
            |bench, request| {
                let rules = bench.home.path().join("rules");
                fs::create_dir(&rules).unwrap();
                let rule = "prefix_rule(pattern=[\"mkdir\"], decision=\"forbidden\")\n";
                fs::write(rules.join("default.rules"), rule).unwrap();
                request
            },
        ),
        (
            "a tool of an MCP server that failed to start",
            Reply::mcp("stub", "t"),
            |_, request| {
                let server = json!({"command": "/no/such/server"});
                request.with_config("mcp_servers.stub", server)
            },
        ),
    ];
    let rows = rows.map(|(cause, reply, setup)| (cause, "", C::Other, (reply, setup)));
    each_by_both(
        rows,
        |transport, (cause, _, _, (reply, setup))| async move {
            let Some(bench) = Bench::start([reply, Reply::done()]) else {
                return;
            };
            let request = setup(&bench, bench.request("Go"));
            let turn = bench.run_on(transport, request).await.unwrap();
            assert_eq!(turn.final_message.as_deref(), Some("done"), "{cause}");
            let calls = bench.calls(1);
            assert_ok(calls.turn());
            if let Some(class) = transport.class_of_call(cause) {
                assert_eq!(calls.tool().error_class(), class, "{cause}");
            } else {
                let tools = &calls.tools;
                assert!(tools.is_empty(), "{transport:?}: {cause}: {tools:?}");
            }
            // The model gets the error.
            let asked = bench.model.asked().last().unwrap().json();
            assert!(asked.to_string().contains("_output"), "{cause}: {asked}");
        },
    )
    .await;
}
