//! One trace: a request to a program, its turn, Codex's own spans, the program's tool, and a request of the tool.
//!
//! The program is an axum server. Its handler runs a turn; its tool asks a second server. The receiver, which is the
//! bench's model, has what the program and Codex export, and it is decoded with OpenTelemetry's own types.
#![cfg(unix)]

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{Router, extract::State, http::HeaderMap, routing::post};
#[cfg(feature = "mcp")]
use codex_telemetry::mcp::McpServer;
use codex_telemetry::{
    BoxError, CallContext, CodexClassifier, Originator, OtlpConfig, OtlpSink, ServiceBuilderExt,
    ToolService, ToolSpec,
    otlp::config::{Protocol, Signal},
    tool::HostTools,
    tool_fn,
    turn::{Turn, TurnError, TurnRequest},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower::{Service, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

use crate::{
    app_server_trace::{TOP, WHOLE},
    bench::{Bench, DEADLINE, comes_true, in_time},
    checked::Checked,
    reply::Reply,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// The span of the client that asks the program.
const CLIENT: &str = "b7ad6b7169203331";

/// The program's spans.
const TURN: &str = "invoke_agent";
const TOOL: &str = "execute_tool weather";

/// By how much the clocks of two processes may differ: spans have the wall clock of their process, which each
/// extrapolates for a moment.
const SKEW: Duration = Duration::from_millis(20);

/// A server on loopback. Dropping it stops it.
struct Server {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

/// What the second server was asked, with the times, in nanoseconds since the epoch.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<(HeaderMap, u64)>>>);

/// What the handler of the program needs.
#[derive(Clone)]
struct Program {
    turns: BoxCloneSyncService<TurnRequest, Turn, BoxError>,
    request: TurnRequest,
}

// === impl Server ===

impl Server {
    async fn start(router: Router) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, serving }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

// === impl Asked ===

impl Asked {
    /// Starts the server, which answers each request.
    async fn server(&self) -> Server {
        async fn answer(State(Asked(asked)): State<Asked>, headers: HeaderMap) -> &'static str {
            asked.lock().unwrap().push((headers, now()));
            "sunny"
        }
        Server::start(
            Router::new()
                .route("/", post(answer))
                .with_state(self.clone()),
        )
        .await
    }

    /// Returns the only request: its traceparent, and when it came.
    fn only(&self) -> (String, u64) {
        let asked = self.0.lock().unwrap();
        let [(headers, at)] = &asked[..] else {
            panic!("{} requests", asked.len());
        };
        (headers["traceparent"].to_str().unwrap().to_owned(), *at)
    }
}

// === impl Program ===

impl Program {
    /// Starts the program: a request to it runs a turn, whose final message is the answer.
    async fn server(self) -> Server {
        async fn ask(State(program): State<Program>, headers: HeaderMap) -> String {
            let context = match headers.get("traceparent") {
                Some(parent) => CallContext::new().with_traceparent(parent.to_str().unwrap(), None),
                None => CallContext::new(),
            };
            let request = program.request.with_context(context);
            let turn = program.turns.oneshot(request).await.unwrap();
            turn.final_message.unwrap_or_default()
        }
        Server::start(Router::new().route("/", post(ask)).with_state(self)).await
    }
}

/// Sends a request, and returns the body of the answer.
async fn send(to: SocketAddr, traceparent: &str) -> Result<String, BoxError> {
    let mut stream = TcpStream::connect(to).await?;
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {to}\r\ntraceparent: {traceparent}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(head.into());
    }
    Ok(body.to_owned())
}

/// Returns a registry with a tool that asks a server.
fn weather(server: SocketAddr) -> ToolService {
    let tool = tool_fn(move |_: Value, context: CallContext| async move {
        let parent = context.traceparent().ok_or("the call has no span")?;
        send(server, &parent).await
    });
    let spec = ToolSpec::new("weather", "Returns the weather");
    ToolService::builder().tool(spec, tool).build().unwrap()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

impl Bench {
    /// Returns the sink of the program, which exports to this bench's model.
    fn span_sink(&self) -> Checked<OtlpSink> {
        let config = OtlpConfig::builder()
            .endpoint(&self.model.url(""))
            .protocol(Protocol::HttpJson)
            .service_name("weather_program")
            .signals([Signal::Traces]);
        Checked::over(OtlpSink::start(config.build().unwrap()))
    }

    /// Returns what Codex is told, to export its spans to the same receiver.
    fn span_exporter(&self) -> Value {
        json!({"otlp-http": {"endpoint": self.model.url("/v1/traces"), "protocol": "json"}})
    }

    /// Returns the spans of the trace that have come.
    fn trace_so_far(&self) -> Trace {
        let mut spans = HashMap::new();
        for export in self.model.received("/v1/traces") {
            let export: ExportTraceServiceRequest = serde_json::from_value(export.json()).unwrap();
            for resource in export.resource_spans {
                let attributes = resource.resource.unwrap().attributes;
                let name = attributes
                    .into_iter()
                    .find(|pair| pair.key == "service.name");
                let service = match name.unwrap().value.unwrap().value.unwrap() {
                    any_value::Value::StringValue(name) => name,
                    other => panic!("{other:?}"),
                };
                let of_scopes = resource.scope_spans.into_iter();
                for span in of_scopes.flat_map(|scope| scope.spans) {
                    if hex(&span.trace_id) == TRACE {
                        let span = Span {
                            name: span.name,
                            id: hex(&span.span_id),
                            parent: hex(&span.parent_span_id),
                            time: (span.start_time_unix_nano, span.end_time_unix_nano),
                            service: service.clone(),
                        };
                        spans.insert(span.id.clone(), span);
                    }
                }
            }
        }
        Trace(spans)
    }
}

/// A span of the trace.
#[derive(Debug)]
struct Span {
    name: String,
    id: String,
    parent: String,
    /// In nanoseconds since the epoch.
    time: (u64, u64),
    /// The process that exported it.
    service: String,
}

/// The spans of the trace, by their ids.
#[derive(Debug)]
struct Trace(HashMap<String, Span>);

impl Trace {
    /// Returns whether the trace has some spans, and every span that is above another one.
    fn is_whole(&self, names: &[&str]) -> bool {
        let has = |name: &&str| self.0.values().any(|span| span.name == *name);
        names.iter().all(has) && self.0.values().all(|span| self.has_parent(span))
    }

    /// Returns the only span with a name.
    #[track_caller]
    fn only(&self, name: &str) -> &Span {
        let named: Vec<_> = self.0.values().filter(|span| span.name == name).collect();
        let [span] = named[..] else {
            panic!("{} spans {name}", named.len());
        };
        span
    }

    fn has_parent(&self, span: &Span) -> bool {
        span.parent == CLIENT || self.0.contains_key(&span.parent)
    }

    /// Asserts that every span is below the client's.
    #[track_caller]
    fn assert_is_tree(&self) {
        for span in self.0.values() {
            assert!(self.has_parent(span), "{span:?} is not in the tree");
        }
    }

    /// Returns the spans above a span, the nearest first.
    fn above<'a>(&'a self, span: &'a Span) -> impl Iterator<Item = &'a Span> {
        let parent = |span: &&Span| self.0.get(&span.parent);
        std::iter::successors(self.0.get(&span.parent), parent)
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn assert_is_child(child: &Span, parent: &Span) {
    assert_eq!(child.parent, parent.id, "{child:?} is not below {parent:?}");
    assert_is_within(child, parent.time);
}

#[track_caller]
fn assert_is_within(span: &Span, (start, end): (u64, u64)) {
    let skew = u64::try_from(SKEW.as_nanos()).unwrap();
    assert!(span.time.0 + skew >= start, "{span:?} began before {start}");
    assert!(span.time.1 <= end + skew, "{span:?} ended after {end}");
}

/// The program without its turns.
struct Rig {
    sink: Checked<OtlpSink>,
    asked: Asked,
    tools: HostTools,
    _downstream: Server,
}

impl Rig {
    async fn start(bench: &Bench) -> Self {
        let (sink, asked) = (bench.span_sink(), Asked::default());
        let downstream = asked.server().await;
        let tools = weather(downstream.address);
        let stack = ServiceBuilder::new()
            .timing(sink.clone())
            .error_class(CodexClassifier)
            .service(tools.clone());
        Self {
            sink,
            asked,
            tools: HostTools::new(&tools, stack, DEADLINE),
            _downstream: downstream,
        }
    }

    /// Asks the program, which runs a turn. Returns when that began and ended.
    async fn ask<S>(&self, turns: S, request: TurnRequest) -> (u64, u64)
    where
        S: Service<TurnRequest, Response = Turn, Error = TurnError> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let turns = ServiceBuilder::new()
            .originator(Originator::Sdk)
            .timing(self.sink.clone())
            .error_class(CodexClassifier)
            .service(turns);
        let turns = BoxCloneSyncService::new(turns.map_err(Into::into));
        let program = Program { turns, request }.server().await;
        let began = now();
        let traceparent = format!("00-{TRACE}-{CLIENT}-01");
        let answer = in_time(send(program.address, &traceparent)).await;
        assert_eq!(answer.unwrap(), "done");
        (began, now())
    }

    /// Exports what is left of the program.
    async fn end(&self) {
        self.sink.shutdown(DEADLINE).await.unwrap();
    }

    /// Asserts that the tool's request, the only one, belongs to a span.
    #[track_caller]
    fn assert_asked_by(&self, tool: &Span) {
        let (parent, at) = self.asked.only();
        assert_eq!(parent, format!("00-{TRACE}-{}-01", tool.id));
        assert!((tool.time.0..=tool.time.1).contains(&at), "{tool:?} {at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_to_a_program_its_turn_codexs_spans_the_tool_and_its_request_are_one_trace() {
    let Some(bench) = Bench::start([Reply::call("weather", "{}"), Reply::done()]) else {
        return;
    };
    let rig = Rig::start(&bench).await;
    let server = bench.app_server(|builder| {
        builder
            .config("otel.trace_exporter", bench.span_exporter())
            .env("OTEL_BSP_SCHEDULE_DELAY", "200")
            .tools(rig.tools.clone())
    });
    let request = bench.ask("How is the weather?");
    let time = rig.ask(server.turns.clone(), request).await;
    rig.end().await;
    // Before the server ends: on a busy machine Codex may exit without its last export.
    comes_true(|| bench.trace_so_far().is_whole(&[TOP, WHOLE, TURN])).await;
    let trace = bench.trace_so_far();
    server.end().await;

    trace.assert_is_tree();
    let (turn, tool) = (trace.only(TURN), trace.only(TOOL));
    assert_eq!(turn.parent, CLIENT);
    assert_is_within(turn, time);
    assert_is_child(tool, turn);
    rig.assert_asked_by(tool);
    // Codex's spans.
    assert_is_child(trace.only(TOP), turn);
    let whole = trace.only(WHOLE);
    assert!(trace.above(whole).any(|span| span.id == turn.id));
    assert!(whole.time.0 >= turn.time.0);
    assert_is_within(tool, whole.time);
    // Codex has a span of the call, which it does not tell of. Its name is the tool's.
    let call = trace.only("weather");
    assert!(trace.above(call).any(|span| span.id == whole.id));
    assert_is_within(tool, call.time);
    let services: BTreeSet<_> = trace.0.values().map(|span| &*span.service).collect();
    assert_eq!(services, ["codex-app-server", "weather_program"].into());
}

/// A turn of `codex exec` with the tool of an MCP server, when all of it has ended.
#[cfg(feature = "mcp")]
struct Exec {
    rig: Rig,
    time: (u64, u64),
    trace: Trace,
}

#[cfg(feature = "mcp")]
impl Exec {
    /// Codex's outermost span.
    const TOP: &str = "codex.exec";

    /// Returns `None` without Codex.
    async fn run() -> Option<Self> {
        let bench = Bench::start([Reply::mcp("codex_telemetry", "weather"), Reply::done()])?;
        let rig = Rig::start(&bench).await;
        let server = McpServer::start(rig.tools.clone()).await.unwrap();
        let request = bench
            .request("How is the weather?")
            .with_config("otel.trace_exporter", bench.span_exporter())
            .with_mcp_server(&server);
        let turns = bench.turns().exit_grace(DEADLINE);
        let time = rig.ask(turns.build(), request).await;
        server.shutdown(DEADLINE).await;
        rig.end().await;
        let trace = bench.trace_so_far();
        Some(Self { rig, time, trace })
    }

    /// Runs it again, twice at most, if the trace is not whole: on a busy machine Codex may exit without its last
    /// export.
    async fn run_to_whole_trace() -> Option<Self> {
        for _ in 0..2 {
            let run = Self::run().await?;
            if run.trace.is_whole(&[Self::TOP, WHOLE, TURN]) {
                return Some(run);
            }
        }
        Self::run().await
    }
}

#[cfg(feature = "mcp")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_mcp_the_tool_is_below_codexs_own_span_of_its_call() {
    let Some(Exec { rig, time, trace }) = Exec::run_to_whole_trace().await else {
        return;
    };
    trace.assert_is_tree();
    let (turn, tool) = (trace.only(TURN), trace.only("tools/call weather"));
    assert_eq!(turn.parent, CLIENT);
    assert_is_within(turn, time);
    assert_is_within(tool, turn.time);
    rig.assert_asked_by(tool);
    // Codex's spans.
    let top = trace.only(Exec::TOP);
    assert_eq!(top.parent, turn.id);
    let call = &trace.0[&tool.parent];
    assert_eq!(call.service, top.service);
    assert_is_within(tool, call.time);
    let above: Vec<_> = trace.above(call).map(|span| &*span.id).collect();
    for span in [trace.only(WHOLE), turn] {
        assert!(above.contains(&&*span.id), "{span:?} is not above {call:?}");
    }
}
