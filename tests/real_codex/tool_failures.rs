//! Tools that fail inside of a turn, which goes on.
#![cfg(unix)]

use std::fs;

use codex_telemetry::{
    ErrorClass as C,
    turn::{Sandbox, TurnRequest},
};

use crate::{
    bench::Bench,
    calls::assert_ok,
    reply::Reply,
    table::{Spoil, as_it_is, each_tool_fails},
};

#[tokio::test]
async fn a_command_that_fails_is_a_tool_that_failed() {
    let shell = |command| (Reply::shell(command), as_it_is as Spoil);
    let patch = |patch| (Reply::patch(patch), as_it_is as Spoil);
    each_tool_fails([
        (
            "a command exits with 3",
            "exited with 3",
            C::ToolFailed,
            shell("exit 3"),
        ),
        (
            "a command is not there",
            "exited with 127",
            C::ToolFailed,
            shell("no-such-command"),
        ),
        (
            "a command may not be run",
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
            "a command's file may not grow",
            "exited with 153",
            C::ToolFailed,
            shell("ulimit -f 0; echo x >file"),
        ),
        (
            "a command's output speaks of other failures",
            "exited with 1",
            C::ToolFailed,
            shell("echo 'status 401, rate limit, Read-only file system'; exit 1"),
        ),
        (
            "a command's directory is not there",
            "exited with -1",
            C::ToolFailed,
            (
                Reply::call(
                    "exec_command",
                    r#"{"cmd":"true","workdir":"/no/such/directory"}"#,
                ),
                as_it_is,
            ),
        ),
        (
            "an edit of what cannot be written",
            "",
            C::ToolFailed,
            patch("*** Begin Patch\n*** Add File: /proc/none\n+x\n*** End Patch"),
        ),
    ])
    .await;
}

/// An MCP server of the tool `t`, which does `call` when it is called.
const SERVER: &str = r#"
answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
while read -r line; do
    id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9][0-9]*\).*/\1/p')
    case $line in
        *'"initialize"'*) answer '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"stub","version":"1"}}' ;;
        *'"tools/list"'*) answer '{"tools":[{"name":"t","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}]}' ;;
        *'"tools/call"'*) CALL ;;
    esac
done
"#;

fn server(bench: &Bench, request: TurnRequest, call: &str) -> TurnRequest {
    let path = bench.home.path().join("server.sh");
    fs::write(&path, SERVER.replace("CALL", call)).unwrap();
    let path = path.display();
    let server = format!("{{command=\"/bin/sh\",args=[\"{path}\"],tool_timeout_sec=0.5}}");
    request.with_config("mcp_servers.stub", server)
}

#[tokio::test]
async fn a_tool_of_a_server_that_fails_is_a_tool_that_failed() {
    let call = |spoil: Spoil| (Reply::mcp("stub", "t"), spoil);
    each_tool_fails([
        ("an MCP tool reports a failure", "reported a failure", C::ToolFailed, call(|bench, request| {
            server(bench, request, r#"answer '{"content":[],"isError":true}'"#)
        })),
        ("an MCP server answers with an error", "Mcp error: -32000", C::ToolFailed, call(|bench, request| {
            let error = r#"printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32000,"message":"x"}}\n' "$id""#;
            server(bench, request, error)
        })),
        ("an MCP server crashes", "Transport closed", C::ToolFailed, call(|bench, request| {
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
async fn a_tool_call_that_codex_refuses_before_it_runs_leaves_no_event() {
    let edit = |file: &str| Reply::patch(&format!("*** Begin Patch\n{file}\n*** End Patch"));
    let rows: [(&str, Reply, Spoil); 10] = [
        (
            "an unknown tool",
            Reply::call("no_such_tool", "{}"),
            as_it_is,
        ),
        (
            "arguments that are no JSON",
            Reply::call("exec_command", "{broken"),
            as_it_is,
        ),
        (
            "arguments that lack one",
            Reply::call("exec_command", "{}"),
            as_it_is,
        ),
        (
            "a dangerous command",
            Reply::shell("rm -rf /no/such/directory"),
            as_it_is,
        ),
        (
            "a command that asks for more rights",
            Reply::call(
                "exec_command",
                r#"{"cmd":"true","sandbox_permissions":"require_escalated","justification":"x"}"#,
            ),
            as_it_is,
        ),
        (
            "an edit of a file that is not there",
            edit("*** Update File: none.txt\n@@\n-a\n+b"),
            as_it_is,
        ),
        ("an edit that is none", Reply::patch("garbage"), as_it_is),
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
            "a tool of an MCP server that did not start",
            Reply::mcp("stub", "t"),
            |_, request| request.with_config("mcp_servers.stub", "{command=\"/no/such/server\"}"),
        ),
    ];
    let rows = rows.map(|(cause, reply, spoil)| (cause, "", C::Other, (reply, spoil)));
    crate::table::each(rows, |(cause, _, _, (reply, spoil))| async move {
        let Some(bench) = Bench::start([reply, Reply::done()]) else {
            return;
        };
        let turn = bench.run(spoil(&bench, bench.request("Go"))).await.unwrap();
        assert_eq!(turn.final_message.as_deref(), Some("done"), "{cause}");
        let calls = bench.calls(1);
        assert_ok(calls.turn());
        assert!(calls.tools.is_empty(), "{cause}: {:?}", calls.tools);
        // The model is told.
        let asked = bench.model.asked().last().unwrap().json();
        assert!(asked.to_string().contains("_output"), "{cause}: {asked}");
    })
    .await;
}
