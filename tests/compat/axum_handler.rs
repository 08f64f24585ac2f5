//! Calls in an axum handler, over real HTTP: the trace of the HTTP request is continued, and a client that
//! disconnects cancels its call.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use codex_telemetry::{
    BoxError, Call, CallContext, CodexClassifier, Event, Operation, Originator, Outcome,
    ServiceBuilderExt,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

use crate::support::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

type Turns = BoxCloneSyncService<Call<u32>, u32, BoxError>;

/// Returns turns that call a tool. The turn of 0 never completes.
fn turns(sink: &MemorySink) -> Turns {
    let tools = ServiceBuilder::new()
        .timing(sink.clone())
        .service_fn(|call: Call<u32>| double(call.request));
    let turns = ServiceBuilder::new()
        .originator(Originator::Sdk)
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service_fn(move |call: Call<u32>| {
            let tools = tools.clone();
            async move {
                if call.request == 0 {
                    std::future::pending::<()>().await;
                }
                let tool = Call::new(Operation::Tool, call.request);
                tools.oneshot(tool.with_context(call.context.child())).await
            }
        });
    Turns::new(turns)
}

async fn handler(
    State(turns): State<Turns>,
    Path(number): Path<u32>,
    headers: HeaderMap,
) -> Result<String, StatusCode> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let mut context = CallContext::new();
    if let Some(traceparent) = text("traceparent") {
        context = context.with_traceparent(traceparent, text("tracestate"));
    }
    let call = Call::new(Operation::Turn, number).with_context(context);
    match turns.oneshot(call).await {
        Ok(answer) => Ok(answer.to_string()),
        Err(_) => Err(StatusCode::BAD_GATEWAY),
    }
}

/// Starts the server on loopback, which stops with the runtime.
async fn serve(sink: &MemorySink) -> SocketAddr {
    let app = Router::new()
        .route("/double/{number}", get(handler))
        .with_state(turns(sink));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn send_request(server: SocketAddr, number: u32, headers: &str) -> TcpStream {
    let mut connection = TcpStream::connect(server).await.unwrap();
    let request = format!(
        "GET /double/{number} HTTP/1.1\r\nhost: {server}\r\n{headers}connection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    connection
}

/// Returns the whole response as text.
async fn response(mut connection: TcpStream) -> String {
    let mut text = String::new();
    timeout(DEADLINE, connection.read_to_string(&mut text))
        .await
        .expect("the server responds")
        .unwrap();
    text
}

#[tokio::test]
async fn a_call_in_a_handler_is_a_child_of_the_http_requests_span() {
    let sink = MemorySink::new();
    let server = serve(&sink).await;
    let headers = format!("traceparent: 00-{TRACE}-{SPAN}-01\r\ntracestate: vendor=7\r\n");
    let text = response(send_request(server, 21 * 2, &headers).await).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.ends_with("\r\n\r\n84"), "{text}");

    let ended = ended(&sink);
    let [tool, turn] = &ended[..] else {
        panic!("{ended:?}")
    };
    assert_eq!(turn.trace_id().to_string(), TRACE);
    assert_eq!(turn.parent_span_id().unwrap().to_string(), SPAN);
    assert_eq!(tool.trace_id(), turn.trace_id());
    assert_eq!(tool.parent_span_id(), Some(turn.span_id()));
    assert_eq!(tool.originator(), Some(&Originator::Sdk));
}

#[tokio::test]
async fn a_request_without_a_valid_traceparent_begins_a_new_trace() {
    let sink = MemorySink::new();
    let server = serve(&sink).await;
    for headers in ["", "traceparent: 00-0000-nonsense\r\n"] {
        let text = response(send_request(server, 3, headers).await).await;
        assert!(text.starts_with("HTTP/1.1 502"), "{text}");
        let ended = ended(&sink);
        let [tool, turn] = &ended[..] else {
            panic!("{ended:?}")
        };
        assert_eq!(turn.parent_span_id(), None);
        assert_ne!(turn.trace_id().to_string(), TRACE);
        assert_eq!(tool.parent_span_id(), Some(turn.span_id()));
        assert_eq!(turn.outcome(), Some(Outcome::Error));
    }
}

#[tokio::test]
async fn concurrent_requests_keep_their_traces_apart() {
    let sink = MemorySink::new();
    let server = serve(&sink).await;
    let requests = (1..=20_u32).map(|n| async move {
        let headers = format!("traceparent: 00-{n:032x}-{n:016x}-01\r\n");
        response(send_request(server, 2 * n, &headers).await).await
    });
    let responses = futures_util::future::join_all(requests).await;
    for (text, n) in responses.iter().zip(1..) {
        assert!(text.ends_with(&format!("\r\n\r\n{}", 4 * n)), "{text}");
    }
    let ended = ended(&sink);
    assert_eq!(ended.len(), 40);
    for n in 1..=20_u32 {
        let trace = format!("{n:032x}");
        let in_trace = |event: &&Event| event.trace_id().to_string() == trace;
        assert_eq!(ended.iter().filter(in_trace).count(), 2);
    }
}

#[tokio::test]
async fn a_client_that_disconnects_cancels_its_call() {
    let sink = MemorySink::new();
    let server = serve(&sink).await;
    let connection = send_request(server, 0, "").await;
    let until = async |count| {
        while sink.events().len() < count {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, until(1)).await.expect("the call starts");
    drop(connection);
    timeout(DEADLINE, until(2)).await.expect("the call ends");
    assert_eq!(only(&sink).outcome(), Some(Outcome::Cancelled));
}
