//! Tools of an MCP server, which is a child process of Codex.
#![cfg(unix)]

use codex_telemetry::{
    ErrorClass, Outcome,
    event::names,
    turn::{ItemKind, Sandbox, TurnRequest},
};
use opentelemetry::Value;

use crate::{bench::Bench, calls::assert_ok, mcp_stub, reply::Reply};

/// The tools of the server: one of them reports failures, and another one needs an approval.
const TOOLS: &str = r#"[{"name":"works","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}},{"name":"fails","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}},{"name":"writes","inputSchema":{"type":"object"}}]"#;
const CALLS: &str = r#"
    *'"works"'*) answer '{"content":[{"type":"text","text":"fine"}]}' ;;
    *'"fails"'*) answer '{"content":[{"type":"text","text":"said no"}],"isError":true}' ;;
"#;

impl Bench {
    /// Makes Codex start a server that ignores signals and the end of its input. It has a child process, which shows `marker`, and which exits at the end of its input or not.
    pub(crate) fn with_server(
        &self,
        request: TurnRequest,
        marker: &str,
        stays: bool,
    ) -> TurnRequest {
        let last = if stays { "wait" } else { "kill -KILL $!" };
        let script = format!(
            "trap '' INT TERM HUP\nCODEX_HOME={} sleep {marker} &\n{}{last}\n",
            self.home.path().display(),
            mcp_stub::script(TOOLS, CALLS)
        );
        request.with_config("mcp_servers.stub", self.mcp_server(&script))
    }
}

#[tokio::test]
async fn a_tool_of_a_server_is_a_tool_call_with_the_servers_name() {
    for (tool, outcome) in [("works", Outcome::Ok), ("fails", Outcome::Error)] {
        let Some(bench) = Bench::start([Reply::mcp("stub", tool), Reply::done()]) else {
            return;
        };
        let request = bench.with_server(bench.request("Go"), "60", false);
        let turn = bench.run(request).await.unwrap();
        let ItemKind::McpToolCall { server, .. } = &turn.items[0].kind else {
            panic!("{:?}", turn.items);
        };
        assert_eq!(server, "stub");

        let calls = bench.calls(1);
        assert_ok(calls.turn());
        let call = calls.tool();
        assert_eq!(call.call_name(), Some(tool));
        assert_eq!(call.outcome(), Some(outcome));
        let failed = (outcome == Outcome::Error).then_some(ErrorClass::ToolFailed);
        assert_eq!(call.error_class(), failed);
        let text = |key| call.attribute(key).map(Value::to_string);
        assert_eq!(text(names::MCP_SERVER).as_deref(), Some("stub"));
        assert_eq!(text(names::TOOL_TYPE).as_deref(), Some("function"));
    }
}

#[tokio::test]
async fn a_tool_of_a_server_that_needs_an_approval_is_denied_and_the_turn_goes_on() {
    let Some(bench) = Bench::start([Reply::mcp("stub", "writes"), Reply::done()]) else {
        return;
    };
    let request = bench.request("Go").with_sandbox(Sandbox::ReadOnly);
    bench
        .run(bench.with_server(request, "60", false))
        .await
        .unwrap();
    let calls = bench.calls(1);
    assert_ok(calls.turn());
    let call = calls.tool();
    assert_eq!(call.error_class(), Some(ErrorClass::ApprovalDenied));
    assert_eq!(
        call.error_message(),
        Some("mcp tool call requires approval, but approval policy is never")
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_dropped_turn_leaves_no_server_that_ignores_signals() {
    use crate::processes::{odd_duration, running};

    let script = [Reply::unfinished(crate::reply::Ending::Silence)];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let marker = odd_duration();
    let request = bench.with_server(bench.request("Go"), &marker, true);
    let mut codex = None;
    bench
        .drop_when("the server runs", request, || {
            codex = bench.codex();
            !running(&marker).is_empty() && !bench.model.asked().is_empty()
        })
        .await;
    assert!(codex.is_some(), "Codex is not running");
    assert_eq!(bench.calls(1).turn().outcome(), Some(Outcome::Cancelled));
    bench.assert_gone(&marker, codex).await;
}
