//! The trace of each turn in one process: Codex's own spans, MCP servers and commands.
#![cfg(unix)]

use std::{collections::HashSet, env, fs, process::Command};

use codex_telemetry::{
    Event, OtlpConfig, OtlpSink, ServiceBuilderExt,
    otlp::config::{Protocol, Signal},
    turn::{CodexAppServerBuilder, Turn},
};
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    bench::{Bench, DEADLINE, in_time, until},
    calls::assert_ok,
    checked::Checked,
    gate::Gate,
    mcp_stub,
    reply::{Reply, Tokens},
};

/// The span of Codex that is the child of a turn's span.
pub(crate) const TOP: &str = "turn/start";
/// The span of Codex that lasts as long as its turn.
pub(crate) const WHOLE: &str = "session_task.turn";

impl Bench {
    /// Makes a server export its spans to this bench's model.
    fn exporting_server(&self, builder: CodexAppServerBuilder) -> CodexAppServerBuilder {
        let exporter =
            |path| json!({"otlp-http": {"endpoint": self.model.url(path), "protocol": "json"}});
        builder
            .config("otel.exporter", exporter("/v1/logs"))
            .config("otel.trace_exporter", exporter("/v1/traces"))
            .env("OTEL_BSP_SCHEDULE_DELAY", "200")
    }

    /// Returns whether Codex has exported the traces of some turns, with every span that is above another one.
    fn has_whole_traces(&self, turns: usize) -> bool {
        let mut spans = self.all_spans();
        let tops = spans.iter().filter(|span| span["name"] == TOP);
        let traces: HashSet<_> = tops.map(|span| span["traceId"].clone()).collect();
        // The server has traces of its own, which may end with it.
        spans.retain(|span| traces.contains(&span["traceId"]));
        let ids: HashSet<_> = spans.iter().map(|span| &span["spanId"]).collect();
        let is_below = |span: &Value| span["name"] == TOP || ids.contains(&span["parentSpanId"]);
        let wholes = spans.iter().filter(|span| span["name"] == WHOLE);
        traces.len() == turns && wholes.count() == turns && spans.iter().all(is_below)
    }

    /// Returns all exported spans of a trace.
    fn trace(&self, trace_id: &str) -> Vec<Value> {
        let mut spans = self.all_spans();
        spans.retain(|span| span["traceId"] == trace_id);
        spans
    }
}

/// Returns the text of an attribute of an exported span.
fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a str> {
    let mut attributes = span["attributes"].as_array()?.iter();
    attributes.find(|attribute| attribute["key"] == key)?["value"]["stringValue"].as_str()
}

/// Asserts that the trace of a turn has Codex's spans of this turn and of no other one, below the turn's span.
fn assert_trace(bench: &Bench, event: &Event, turn: &Turn) {
    let trace_id = event.trace_id().to_string();
    let spans = bench.trace(&trace_id);
    let tops: Vec<_> = spans.iter().filter(|span| span["name"] == TOP).collect();
    let [top] = tops[..] else {
        panic!("{} top spans in {trace_id}", tops.len());
    };
    assert_eq!(top["parentSpanId"], event.span_id().to_string());
    assert_eq!(attribute(top, "turn.id"), turn.turn_id.as_deref());
    // Everything else is below it.
    let ids: HashSet<_> = spans
        .iter()
        .filter_map(|span| span["spanId"].as_str())
        .collect();
    for span in &spans {
        let parent = span["parentSpanId"].as_str().unwrap_or_default();
        let is_top = parent == event.span_id().to_string();
        assert!(is_top || ids.contains(parent), "{span} is not in the tree");
        for key in ["turn.id", "turn_id"] {
            let of = attribute(span, key);
            assert!(
                of.is_none() || of == turn.turn_id.as_deref(),
                "{span} is of another turn"
            );
        }
        for key in ["thread.id", "thread_id", "conversation.id"] {
            let of = attribute(span, key);
            assert!(
                of.is_none() || of == turn.thread_id.as_deref(),
                "{span} is of another thread"
            );
        }
    }
    let names: HashSet<_> = spans
        .iter()
        .filter_map(|span| span["name"].as_str())
        .collect();
    for name in [WHOLE, "run_sampling_request"] {
        assert!(names.contains(name), "no {name} in {names:?}");
    }
}

#[tokio::test]
async fn each_turn_of_a_process_has_codexs_spans_in_its_own_trace_also_two_at_once() {
    let Some(bench) = Bench::start([Reply::done(), Reply::shell("true"), Reply::done()]) else {
        return;
    };
    let (plum, pear) = (Gate::new(), Gate::new());
    for (text, gate) in [("plum", &plum), ("pear", &pear)] {
        let held = Reply::message(text, Tokens::FEW).held(gate);
        bench
            .model
            .then_to(text, [Reply::shell(&format!("echo {text}")), held]);
    }
    let server = bench.app_server(|builder| bench.exporting_server(builder));
    let first = server.complete(bench.ask("Go")).await;
    let second = server.complete(bench.ask_on(&first, "On")).await;
    let release = async {
        plum.reached().await;
        pear.reached().await;
        plum.open();
        pear.open();
    };
    let both = server.complete_both(bench.ask("About plum"), bench.ask("About pear"));
    let ((of_plum, of_pear), ()) = tokio::join!(both, release);
    let turns = [&first, &second, &of_plum, &of_pear];
    // Before the server ends: on a busy machine it may exit without its last export.
    until("Codex's export has come", || {
        bench.has_whole_traces(turns.len())
    })
    .await;
    server.end().await;

    let calls = bench.calls(4);
    let traces: HashSet<_> = calls.turns.iter().map(Event::trace_id).collect();
    assert_eq!(traces.len(), turns.len());
    for turn in turns {
        let event = calls.of(turn).turn;
        assert_ok(event);
        assert_trace(&bench, event, turn);
    }
    let tops = bench.spans(TOP);
    assert_eq!(
        tops.len(),
        turns.len(),
        "a turn of Codex is in another trace"
    );
    // Codex passes the trace on to the model.
    for (turn, asked) in [(&of_plum, "plum"), (&of_pear, "pear")] {
        let trace = calls.of(turn).turn.trace_id().to_string();
        for request in bench.model.asked_about(asked) {
            let onward = request.header("traceparent");
            assert!(onward.starts_with(&format!("00-{trace}-")), "{onward:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_spans_and_codexs_spans_of_each_turn_are_one_trace_at_a_receiver() {
    let Some(bench) = Bench::start([Reply::done(), Reply::done()]) else {
        return;
    };
    let config = OtlpConfig::builder()
        .endpoint(&bench.model.url(""))
        .protocol(Protocol::HttpJson)
        .signals([Signal::Traces])
        .build()
        .unwrap();
    let sink = Checked::over(OtlpSink::start(config));
    let server = bench.app_server(|builder| bench.exporting_server(builder));
    let turns = ServiceBuilder::new()
        .timing(sink.clone())
        .service(server.turns.clone());
    let run = || in_time(turns.clone().oneshot(bench.ask("Go")));
    let (one, other) = tokio::join!(run(), run());
    one.unwrap();
    other.unwrap();
    sink.shutdown(DEADLINE).await.unwrap();
    // Before the server ends: on a busy machine it may exit without its last export.
    until("both exports have come", || {
        bench.spans(TOP).len() == 2 && bench.spans("invoke_agent").len() == 2
    })
    .await;
    server.end().await;
    for ours in bench.spans("invoke_agent") {
        let codexs = bench.spans(TOP);
        let mut codexs = codexs
            .iter()
            .filter(|span| span["traceId"] == ours["traceId"]);
        let codexs = (codexs.next().unwrap(), codexs.next());
        assert_eq!(codexs.0["parentSpanId"], ours["spanId"]);
        assert!(codexs.1.is_none());
        let chats = bench.all_spans();
        let chats = chats.iter().filter(|span| {
            span["traceId"] == ours["traceId"] && span["name"].as_str().unwrap().starts_with("chat")
        });
        assert_eq!(chats.count(), 1);
    }
}

#[tokio::test]
async fn an_mcp_server_gets_the_trace_of_each_turn_with_and_without_codexs_own_export() {
    for is_exporting in [false, true] {
        let script = (0..2).flat_map(|_| [Reply::mcp("stub", "t"), Reply::done()]);
        let Some(bench) = Bench::start(script) else {
            return;
        };
        // The tool writes down what it is asked.
        let asked = bench.work.path().join("asked");
        let tools =
            r#"[{"name":"t","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}]"#;
        let calls = format!(
            r#"*'"tools/call"'*) printf '%s\n' "$line" >>{}; answer '{{"content":[{{"type":"text","text":"fine"}}]}}' ;;"#,
            asked.display()
        );
        let stub = bench.mcp_server(&mcp_stub::script(tools, &calls));
        let server = bench.app_server(|builder| {
            let builder = builder.config("mcp_servers.stub", stub);
            if is_exporting {
                bench.exporting_server(builder)
            } else {
                builder
            }
        });
        let first = server.complete(bench.ask("Go")).await;
        let second = server.complete(bench.ask_on(&first, "On")).await;
        server.end().await;

        let asked = fs::read_to_string(&asked).unwrap();
        let asked: Vec<Value> = asked
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(asked.len(), 2);
        let calls = bench.calls(2);
        for (turn, asked) in [&first, &second].into_iter().zip(asked) {
            let of_turn = calls.of(turn);
            let traceparent = asked["params"]["_meta"]["traceparent"].as_str().unwrap();
            let of_trace = format!("00-{}-", of_turn.turn.trace_id());
            assert!(
                traceparent.starts_with(&of_trace),
                "{traceparent} is not in {of_trace}"
            );
            if is_exporting {
                let parent = traceparent.split('-').nth(2).unwrap();
                let spans = bench.trace(&of_turn.turn.trace_id().to_string());
                assert!(
                    spans.iter().any(|span| span["spanId"] == parent),
                    "{traceparent}"
                );
            } else {
                let ours = format!("{of_trace}{}-01", of_turn.turn.span_id());
                assert_eq!(traceparent, ours);
            }
            // It joins the server's work to the call of the tool.
            let id = of_turn.tools[0].call_id().unwrap();
            assert_eq!(asked["params"]["_meta"]["callId"], id);
        }
    }
}

/// Set in the program.
const PROGRAM: &str = "APP_SERVER_TRACE_TEST_PROGRAM";

/// The test starts its own binary again, as a program that is a part of a trace.
#[tokio::test]
async fn the_commands_of_a_server_do_not_inherit_the_trace_of_the_program() {
    let test = "app_server_trace::the_commands_of_a_server_do_not_inherit_the_trace_of_the_program";
    if env::var_os(PROGRAM).is_none() {
        let program = Command::new(env::current_exe().unwrap())
            .args(["--exact", test])
            .env(PROGRAM, "1")
            .env(
                "TRACEPARENT",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )
            .env("TRACESTATE", "a=b")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&program.stdout);
        assert!(output.contains("1 passed"), "{output}");
        return;
    }
    let script = [Reply::shell("env >environment"), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    server.complete(bench.ask("Go")).await;
    server.end().await;
    let environment = fs::read_to_string(bench.work.path().join("environment")).unwrap();
    assert!(environment.contains("CODEX_THREAD_ID="), "{environment}");
    let names = environment
        .lines()
        .map(|line| line.split('=').next().unwrap());
    let traces: Vec<_> = names
        .filter(|name| ["TRACEPARENT", "TRACESTATE"].contains(name))
        .collect();
    assert!(traces.is_empty(), "{traces:?}");
    bench.calls(1);
}
