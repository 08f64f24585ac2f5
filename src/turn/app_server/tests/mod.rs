//! A server in memory and a paused clock: deadlines, limits, questions, ends.

mod active;
mod ends;
mod host_calls;
mod memory;
mod outputs;
mod phases;
mod questions;
mod races;
mod requests;
mod threads;
mod tool_servers;
mod turns;

use std::{
    convert::Infallible,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower::{Service, ServiceExt, service_fn};

use super::{
    CodexAppServer,
    peer::Peer,
    router::RequestError,
    turns::{ActiveTurn, Turns},
};
use crate::{
    approval::{ApprovalRequest, Decision},
    turn::{Turn, TurnError, TurnRequest},
};

const A: &str = "01a20000-0000-7000-8000-00000000000a";
const B: &str = "01a20000-0000-7000-8000-00000000000b";
const C: &str = "01a20000-0000-7000-8000-00000000000c";
const AGENT: &str = "01a20000-0000-7000-8000-0000000000a9";

const MINUTE: Duration = Duration::from_secs(60);

/// Returns a service whose turns use the peer. If they need another server, they fail: there is no Codex.
fn service(peer: &Peer) -> CodexAppServer {
    let builder = CodexAppServer::builder().codex("/no/such/codex");
    builder.build().with_server(peer.server())
}

fn run(service: &CodexAppServer, request: TurnRequest) -> JoinHandle<Result<Turn, TurnError>> {
    tokio::spawn(service.clone().oneshot(request))
}

fn prompt() -> TurnRequest {
    TurnRequest::new("a prompt")
}

fn turn(service: &CodexAppServer) -> JoinHandle<Result<Turn, TurnError>> {
    run(service, prompt())
}

fn turn_of(service: &CodexAppServer, thread: &str) -> JoinHandle<Result<Turn, TurnError>> {
    run(service, prompt().with_resume(thread))
}

fn active() -> Arc<ActiveTurn> {
    Turns::default().begin()
}

/// Sends a request of a test. It is in flight when this returns, if there is room for it.
async fn send(peer: &Peer) -> JoinHandle<Result<(), RequestError>> {
    let router = Arc::clone(&peer.router);
    let request = async move { router.request("test", json!({})).await.map(drop) };
    let request = tokio::spawn(request);
    tokio::task::yield_now().await;
    request
}

/// Runs a whole turn.
async fn complete(peer: &mut Peer, turn: JoinHandle<Result<Turn, TurnError>>, thread: &str) {
    let is_loaded = peer
        .router
        .thread(thread)
        .is_some_and(|(_, is_ready)| is_ready);
    if is_loaded {
        peer.begin_loaded(thread, "turn").await;
    } else {
        peer.begin(thread, "turn").await;
    }
    peer.end(thread, "turn", "completed").await;
    turn.await.unwrap().unwrap();
}

/// Has as many requests without an answer that more of them wait.
async fn crowd(peer: &mut Peer) -> Vec<Value> {
    for _ in 0..24 {
        peer.router.send_interrupt(B);
    }
    let mut requests = Vec::new();
    for _ in 0..48 {
        requests.push(peer.read().await.expect("a request"));
    }
    requests
}

impl Peer {
    /// Asks something, and returns the answer.
    async fn ask(&mut self, id: impl Into<Value>, method: &str, params: Value) -> Value {
        self.put(id, method, params).await;
        self.answered().await
    }

    async fn put(&mut self, id: impl Into<Value>, method: &str, params: Value) {
        let request = json!({"id": id.into(), "method": method, "params": params});
        self.write(&request).await;
    }

    async fn answered(&mut self) -> Value {
        let answer = self.read().await.expect("an answer");
        assert!(answer.get("method").is_none(), "{answer}");
        answer
    }

    /// Reads that the turn of a thread is interrupted. It is not answered.
    async fn reads_interrupt(&mut self, thread: &str) {
        self.reads(
            ["turn/interrupt", "thread/backgroundTerminals/clean"],
            thread,
        )
        .await;
    }

    /// Reads that a thread is let go. It is not answered.
    async fn reads_let_go(&mut self, thread: &str) {
        self.reads(
            ["thread/backgroundTerminals/clean", "thread/unsubscribe"],
            thread,
        )
        .await;
    }

    async fn reads(&mut self, methods: [&str; 2], thread: &str) {
        for method in methods {
            let request = self.request(method).await;
            assert_eq!(request["params"]["threadId"], thread);
        }
    }
}

/// Lets all tasks run that can.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Returns a service whose turns use the peer, and ask an approver.
fn asking<A>(peer: &Peer, approver: A) -> CodexAppServer
where
    A: Service<ApprovalRequest, Response = Decision, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    A::Future: Send,
{
    let builder = CodexAppServer::builder().codex("/no/such/codex");
    let service = builder.approver(approver, MINUTE).build();
    service.with_server(peer.server())
}

/// Returns an approver that accepts everything, and counts the questions.
fn accepting() -> (
    Arc<AtomicUsize>,
    impl Service<ApprovalRequest, Response = Decision, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static,
) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let approver = service_fn(move |_: ApprovalRequest| {
        count.fetch_add(1, Relaxed);
        async { Ok(Decision::AcceptForSession) }
    });
    (asked, approver)
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(10 * MINUTE, future)
        .await
        .expect("it hangs")
}
