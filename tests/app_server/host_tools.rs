//! Servers that call the program's own tools, and die, or tell nothing else of the call.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use codex_telemetry::{
    Event, Operation, Outcome, TimingLayer, ToolError, ToolOutput, ToolService, ToolSpec,
    tool::{HostTools, ToolCall},
    turn::TurnError,
};
use serde_json::{Value, json};
use tower::{Layer, service_fn};

use crate::{
    checked::MemorySink,
    support::{Rig, comes_true},
};

/// What each script begins with: `call_tool ID ARGUMENTS` has the tool called, and `written` writes the answer down.
const CALLS: &str = r#"call_tool() {
    printf '{"id":7,"method":"item/tool/call","params":{"threadId":"%s","turnId":"%s","callId":"%s","tool":"echo","arguments":%s}}\n' "$thread" "$turn" "$1" "$2"
}
written() { read_line; echo "$line" >>$FAKE_DIRECTORY/lines; }
"#;

/// Counts the calls of a tool that run.
#[derive(Clone, Default)]
struct Active(Arc<AtomicUsize>);

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Active {
    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }

    /// Returns a tool that returns its arguments, or never does if they say so, in a stack that makes events or not.
    fn tools(&self, sink: Option<&MemorySink>) -> HostTools {
        let active = Arc::clone(&self.0);
        let tool = service_fn(move |call: ToolCall| {
            active.fetch_add(1, SeqCst);
            let running = Running(Arc::clone(&active));
            async move {
                let _running = running;
                if call.arguments["for_ever"] == true {
                    std::future::pending::<()>().await;
                }
                Ok::<_, ToolError>(ToolOutput::new(call.arguments))
            }
        });
        let spec = ToolSpec::new("echo", "Returns its arguments");
        let registry = ToolService::builder().tool(spec, tool).build().unwrap();
        let deadline = Duration::from_secs(600);
        match sink {
            Some(sink) => {
                let stack = TimingLayer::new(sink.clone()).layer(registry.clone());
                HostTools::new(&registry, stack, deadline)
            }
            None => HostTools::new(&registry, registry.clone(), deadline),
        }
    }
}

/// Returns a rig whose server runs a script and whose program has the tool.
fn rig(script: &str, active: &Active, is_timed: bool) -> Rig {
    let sink = MemorySink::new();
    let tools = active.tools(is_timed.then_some(&sink));
    let mut rig = Rig::with(&format!("{CALLS}{script}"), |builder| builder.tools(tools));
    rig.sink = sink;
    rig
}

fn lines(rig: &Rig) -> Vec<Value> {
    let lines = fs::read_to_string(rig.directory().join("lines")).unwrap_or_default();
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Returns the terminal events of the tools, which are in the turn.
fn tools(rig: &Rig) -> Vec<Event> {
    let turn = &rig.turn_events()[0];
    let mut tools = rig.sink.events();
    tools.retain(|event| event.kind().is_terminal() && event.operation() == Operation::Tool);
    for tool in &tools {
        assert_eq!(tool.parent_span_id(), Some(turn.span_id()));
    }
    tools
}

#[tokio::test]
async fn a_server_that_dies_while_a_tool_runs_ends_the_tool_with_its_turn() {
    let script = r#"turn() {
        tell item/started '"item":{"type":"dynamicToolCall","id":"c","tool":"echo","arguments":{},"status":"inProgress"}'
        call_tool c '{"for_ever":true}'
        while [ ! -e $FAKE_DIRECTORY/die ]; do sleep 0.01; done
        kill -KILL $$
    }
    serve"#;
    for (is_timed, outcome) in [(true, Outcome::Cancelled), (false, Outcome::Error)] {
        let active = Active::default();
        let rig = rig(script, &active, is_timed);
        let turn = tokio::spawn(rig.turn());
        assert!(comes_true(|| active.count() == 1).await);
        fs::write(rig.directory().join("die"), "").unwrap();
        let error = turn.await.unwrap().unwrap_err();
        assert!(matches!(error, TurnError::ServerExited { .. }), "{error:?}");
        assert_eq!(active.count(), 0);
        let [tool] = &tools(&rig)[..] else {
            panic!("{}", rig.sink.timeline())
        };
        assert_eq!(tool.outcome(), Some(outcome));
    }
}

#[tokio::test]
async fn a_call_without_an_item_is_answered() {
    let script = r#"turn() { call_tool c '{"a":1}'; written; end completed; }; serve"#;
    for (is_timed, events) in [(true, 1), (false, 0)] {
        let rig = rig(script, &Active::default(), is_timed);
        rig.turn().await.unwrap();
        let answer = json!({
            "id": 7,
            "result": {"success": true, "contentItems": [{"type": "inputText", "text": "{\"a\":1}"}]},
        });
        assert_eq!(lines(&rig), [answer]);
        assert_eq!(tools(&rig).len(), events);
    }
}

#[tokio::test]
async fn a_turn_that_is_dropped_cancels_its_tool_and_the_server_is_told() {
    let script = r#"turn() { call_tool c '{"for_ever":true}'; }; serve"#;
    let active = Active::default();
    let rig = rig(script, &active, true);
    let turn = tokio::spawn(rig.turn());
    assert!(comes_true(|| active.count() == 1).await);
    turn.abort();
    assert!(turn.await.unwrap_err().is_cancelled());
    assert_eq!(active.count(), 0);
    rig.until_logged("turn/interrupt", 1).await;
    assert_eq!(tools(&rig)[0].outcome(), Some(Outcome::Cancelled));
}

#[tokio::test]
async fn a_thread_is_started_with_the_tools_and_resumed_without() {
    let script = r#"start_thread() {
        echo "$line" >>$FAKE_DIRECTORY/lines
        threads=$((threads + 1))
        thread=$(printf '%08d-0000-7000-8000-%012d' $$ $threads)
        answer '{"thread":{"id":"'"$thread"'"}}'
    }
    load_thread() { echo "$line" >>$FAKE_DIRECTORY/lines; answer '{"thread":{"id":"'"$thread"'"}}'; }
    serve"#;
    let rig = rig(script, &Active::default(), true);
    rig.turn().await.unwrap();
    rig.turn_of("01a2021f-12be-7782-b2de-86dee0c040e2")
        .await
        .unwrap();
    let [start, resume] = &lines(&rig)[..] else {
        panic!("{:?}", lines(&rig))
    };
    let tool = json!({
        "type": "function",
        "name": "echo",
        "description": "Returns its arguments",
        "inputSchema": {"type": "object", "properties": {}},
    });
    assert_eq!(start["params"]["dynamicTools"], json!([tool]));
    assert_eq!(resume["method"], "thread/resume");
    // Codex keeps the tools of a thread, and ignores others.
    assert!(resume["params"].get("dynamicTools").is_none());
}
