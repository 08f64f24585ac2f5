use std::{convert::Infallible, future::Future, time::Duration};

use codex_telemetry::{
    BoxError, CallContext, ErrorClassLayer, TimingLayer, ToolError, ToolService, ToolSpec,
    mcp::McpServer,
    tool::{HostTools, ToolFailure, ToolOutput, ToolServiceBuilder},
    tool_fn,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use tower::ServiceBuilder;

use crate::checked::MemorySink;

/// The deadline of each test: far longer than any of them takes, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    let finished = tokio::time::timeout(DEADLINE, future).await;
    finished.expect("the test hangs")
}

/// What a test's tool tells of its call.
#[derive(Debug, PartialEq)]
pub(crate) enum Told {
    Began,
    Dropped,
}

/// Returns a registry with a tool for each case. `waits` never answers, and tells of its calls.
pub(crate) fn registry(told: mpsc::UnboundedSender<Told>) -> ToolServiceBuilder {
    let spec = |name| ToolSpec::new(name, "A tool of the tests");
    let waits = tool_fn(move |_: Value, _: CallContext| {
        struct Guard(mpsc::UnboundedSender<Told>);
        impl Drop for Guard {
            fn drop(&mut self) {
                // The test may have ended.
                let _ = self.0.send(Told::Dropped);
            }
        }
        let guard = Guard(told.clone());
        async move {
            let _ = guard.0.send(Told::Began);
            std::future::pending::<Result<Value, Infallible>>().await
        }
    });
    ToolService::builder()
        .tool(
            spec("echo").with_input_schema(json!({"type": "object", "description": "Anything"})),
            tool_fn(|value: Value, _| async move { Ok::<_, BoxError>(value) }),
        )
        .tool(
            spec("double"),
            tool_fn(|value: Number, _| async move { Ok::<_, BoxError>(2 * value.number) }),
        )
        .tool(
            spec("fails"),
            tool_fn(|_: Value, _| async move { Err::<Value, BoxError>("no route to db7".into()) }),
        )
        .tool(
            spec("explains"),
            tool_fn(|_: Value, _| async move {
                Err::<Value, _>(ToolFailure::new("there is no ticket 7"))
            }),
        )
        .tool(
            spec("panics"),
            tool_fn(|_: Value, _| async move {
                if true {
                    panic!("an invariant of db7");
                }
                Ok::<Value, BoxError>(Value::Null)
            }),
        )
        .tool(
            spec("shows"),
            tool_fn(|_: Value, _| async move {
                let output = ToolOutput::new(json!("a plot"));
                let output = output
                    .with_image("image/png", *b"PNG")
                    .with_audio("audio/wav", *b"WAV");
                Ok::<_, BoxError>(output)
            }),
        )
        .tool(spec("waits"), waits)
}

#[derive(serde::Deserialize)]
struct Number {
    number: i64,
}

/// A server with the tools of [`registry`], and their sink.
pub(crate) struct Rig {
    pub(crate) sink: MemorySink,
    pub(crate) server: McpServer,
    pub(crate) registry: ToolService,
    pub(crate) told: mpsc::UnboundedReceiver<Told>,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(DEADLINE, |builder| builder).await
    }

    /// Returns a server with a deadline of the tools, and with other tools.
    pub(crate) async fn with(
        deadline: Duration,
        add: impl FnOnce(ToolServiceBuilder) -> ToolServiceBuilder,
    ) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let (sink, registry) = (MemorySink::new(), add(registry(tell)).build().unwrap());
        let stack = ServiceBuilder::new()
            .layer(TimingLayer::new(sink.clone()))
            .layer(ErrorClassLayer::new(ToolError::classification))
            .service(registry.clone());
        let tools = HostTools::new(&registry, stack, deadline);
        let server = McpServer::start(tools).await.unwrap();
        Self {
            sink,
            server,
            registry,
            told,
        }
    }

    /// Waits until a call of `waits` tells something.
    pub(crate) async fn told(&mut self) -> Told {
        in_time(self.told.recv()).await.unwrap()
    }
}

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns whether the result of a call is an error, and its text.
    pub(crate) fn text(&self) -> (bool, String) {
        let result = &self.json()["result"];
        let [text] = &result["content"].as_array().unwrap()[..] else {
            panic!("{result}");
        };
        assert_eq!(text["type"], "text");
        let text = text["text"].as_str().unwrap().to_owned();
        (result["isError"] == true, text)
    }
}

/// The request of a call.
pub(crate) fn call(tool: &str, arguments: Value) -> Value {
    let mut call = request("tools/call", json!({ "name": tool }));
    call["params"]["arguments"] = arguments;
    call
}

pub(crate) fn request(method: &str, params: Value) -> Value {
    let mut request = json!({"jsonrpc": "2.0", "id": 7, "method": method});
    request["params"] = params;
    request
}

/// Returns the headers of a request, without those of authentication.
pub(crate) fn headers(url: &str) -> String {
    format!(
        "Host: {}\r\nAccept: application/json, text/event-stream\r\nContent-Type: application/json\r\n\
         MCP-Protocol-Version: 2025-06-18\r\n",
        authority(url)
    )
}

pub(crate) fn authority(url: &str) -> &str {
    let rest = url.strip_prefix("http://").unwrap();
    rest.split('/').next().unwrap()
}

/// Sends a request with a token.
pub(crate) async fn post(url: &str, token: &str, body: &Value) -> Answer {
    let headers = headers(url) + &format!("Authorization: Bearer {token}\r\n");
    send(url, &headers, &body.to_string()).await
}

/// Sends a request, and reads the answer.
pub(crate) async fn send(url: &str, headers: &str, body: &str) -> Answer {
    let mut stream = begin(url, headers, body).await;
    let mut answer = Vec::new();
    in_time(stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

/// Sends a request, and returns the connection.
pub(crate) async fn begin(url: &str, headers: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(authority(url)).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may answer and close before it has read all of a large one.
    let _ = stream.write_all(body.as_bytes()).await;
    stream
}
