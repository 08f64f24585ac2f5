//! What a turn waited for whose process runs a tool of the program, called over MCP.

use std::{
    convert::Infallible,
    future::pending,
    io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use tower::{Layer, ServiceExt, service_fn};

use super::CodexExec;
use crate::{
    approval::{ApprovalRequest, Decision},
    call::CallContext,
    event::{Event, Outcome, Phase, names},
    sink::MemorySink,
    timing::TimingLayer,
    tool::{ApprovalLayer, ToolCall, ToolError, ToolOutput, ToolService, ToolSpec},
    turn::{
        TurnRequest,
        served_calls::ServedCalls,
        tool_server::{ServingTools, ToolAccess, ToolServer},
    },
};

const FAKE_CODEX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/turn/fake-codex");

/// A server whose only tool is called with the turn, and waits for an approval that is never given.
#[derive(Clone)]
struct Asking {
    timing: TimingLayer,
    /// Tells that the approver is asked.
    asked: Arc<Mutex<Option<oneshot::Sender<()>>>>,
}

impl ToolServer for Asking {
    fn open(&self) -> io::Result<Arc<dyn ToolAccess>> {
        Ok(Arc::new(self.clone()))
    }
}

impl ToolAccess for Asking {
    fn server(&self) -> &str {
        "host"
    }

    fn url(&self) -> &str {
        "http://127.0.0.1:1/mcp"
    }

    fn token(&self) -> &str {
        "token"
    }

    fn config(&self) -> Map<String, Value> {
        Map::new()
    }

    fn serve(&self, turn: CallContext, _: ServedCalls) -> ServingTools {
        let asked = Arc::clone(&self.asked);
        let approver = service_fn(move |_: ApprovalRequest| {
            let asked = asked.lock().unwrap().take().expect("it is asked once");
            // An error means that the turn is over.
            let _ = asked.send(());
            pending::<Result<Decision, Infallible>>()
        });
        let tool =
            service_fn(async |call: ToolCall| Ok::<_, ToolError>(ToolOutput::new(call.arguments)));
        let registry = ToolService::builder().tool(ToolSpec::new("t", "A tool"), tool);
        let asking = ApprovalLayer::new(approver, Duration::from_secs(3600));
        let stack = self.timing.layer(asking.layer(registry.build().unwrap()));
        let (context, ticket) = turn.with_ticket_of_child(Vec::new());
        let call = ToolCall::new("t", json!({})).with_context(context);
        Box::pin(async move {
            let _ticket = ticket;
            let _ = stack.oneshot(call).await;
            pending().await
        })
    }
}

/// Runs a turn with a script of the process, which ends when the file `asked` is there. Drops it when the approver is
/// asked, or lets the process end it. Returns the terminal event.
async fn run(script: &str, is_dropped: bool) -> Event {
    let directory = tempfile::tempdir().unwrap();
    let sink = MemorySink::new();
    let timing = TimingLayer::new(sink.clone());
    let (ask, asked) = oneshot::channel();
    let server = Asking {
        timing: timing.clone(),
        asked: Arc::new(Mutex::new(Some(ask))),
    };
    let path = directory.path().join("asked");
    let turns = CodexExec::builder()
        .codex(FAKE_CODEX)
        .env("FAKE_CODEX", script)
        .env("ASKED", path.to_str().unwrap())
        .build();
    let request = TurnRequest::new("a prompt").with_tool_server(Arc::new(server));
    let turn = tokio::spawn(timing.layer(turns.clone()).oneshot(request));
    asked.await.unwrap();
    if is_dropped {
        turn.abort();
        assert!(turn.await.unwrap_err().is_cancelled());
    } else {
        touch(&path);
        turn.await.unwrap().unwrap_err();
    }
    turns.drain().await;
    let events = sink.events();
    events.last().unwrap().clone()
}

fn touch(path: &Path) {
    std::fs::write(path, "").unwrap();
}

fn assert_waited_for_an_approval(turn: &Event) {
    let phase = turn.attribute(names::PHASE).map(|phase| phase.as_str());
    assert_eq!(phase.as_deref(), Some("approval"), "{turn:?}");
    let phases = turn.phases().unwrap();
    assert!(phases.get(Phase::Approval).is_some(), "{phases:?}");
    assert_eq!(Some(phases.total()), turn.duration());
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_its_tool_waits_for_an_approval_says_so() {
    let turn = run("cat >/dev/null; sleep 3600", true).await;
    assert_eq!(turn.outcome(), Some(Outcome::Cancelled));
    assert_waited_for_an_approval(&turn);
}

#[tokio::test]
async fn a_turn_whose_process_ends_while_its_tool_waits_for_an_approval_says_so() {
    let wait = r#"cat >/dev/null; echo '{"type":"turn.started"}'; while [ ! -e "$ASKED" ]; do sleep 0.01; done"#;
    let failed = r#"echo '{"type":"turn.failed","error":{"message":"no"}}'"#;
    for end in ["exit 1", "kill -9 $$", failed, "echo garbage"] {
        let turn = run(&format!("{wait}; {end}"), false).await;
        assert_eq!(turn.outcome(), Some(Outcome::Error));
        assert_waited_for_an_approval(&turn);
    }
}
