//! The MCP server of a request: its token, and when it takes calls.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use serde_json::{Map, Value, json};

use super::{A, complete, prompt, run, service, settle};
use crate::{
    call::CallContext,
    turn::{
        TurnError, TurnRequest,
        app_server::peer::{Options, Peer},
        served_calls::ServedCalls,
        tool_server::{ServingTools, ToolAccess, ToolServer},
    },
};

/// A server that notes what happens to its accesses.
#[derive(Clone)]
struct Noting {
    url: &'static str,
    opened: Arc<AtomicU32>,
    log: Log,
}

type Log = Arc<Mutex<Vec<String>>>;

struct Access {
    url: &'static str,
    token: String,
    log: Log,
}

/// Notes a text when it is dropped.
struct OnDrop(Log, String);

impl Noting {
    fn new(url: &'static str) -> Self {
        Self {
            url,
            opened: Arc::default(),
            log: Log::default(),
        }
    }

    /// Returns a request for its tools.
    fn request(&self) -> TurnRequest {
        prompt().with_tool_server(Arc::new(self.clone()))
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

impl ToolServer for Noting {
    fn open(&self) -> io::Result<Arc<dyn ToolAccess>> {
        let number = self.opened.fetch_add(1, Relaxed) + 1;
        Ok(Arc::new(Access {
            url: self.url,
            token: format!("token-{number}"),
            log: Arc::clone(&self.log),
        }))
    }
}

impl ToolAccess for Access {
    fn server(&self) -> &str {
        "host"
    }

    fn url(&self) -> &str {
        self.url
    }

    fn token(&self) -> &str {
        &self.token
    }

    fn config(&self) -> Map<String, Value> {
        Map::from_iter([("url".to_owned(), self.url.into())])
    }

    fn serve(&self, _: CallContext, _: ServedCalls) -> ServingTools {
        let mut log = self.log.lock().unwrap();
        log.push(format!("{} takes calls", self.token));
        let on_drop = OnDrop(Arc::clone(&self.log), format!("{} takes none", self.token));
        Box::pin(async move {
            let _on_drop = on_drop;
            std::future::pending().await
        })
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        self.log
            .lock()
            .unwrap()
            .push(format!("{} ends", self.token));
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(std::mem::take(&mut self.1));
    }
}

/// Returns the configuration of the server in the parameters that load a thread.
fn config(load: &Value) -> &Value {
    &load["params"]["config"]["mcp_servers.host"]
}

#[tokio::test(start_paused = true)]
async fn the_token_is_that_of_the_thread_and_takes_calls_while_a_turn_runs_that_has_the_server() {
    let mut peer = Peer::connect(&Options::default());
    let (turns, server) = (service(&peer), Noting::new("http://127.0.0.1:1/mcp"));
    let first = run(&turns, server.request());
    let load = peer.request("thread/start").await;
    let headers = json!({"Authorization": "Bearer token-1"});
    let expected = json!({"url": server.url, "http_headers": headers});
    assert_eq!(*config(&load), expected);
    peer.answer(&load, json!({"thread": {"id": A}})).await;
    peer.begin_loaded(A, "turn").await;
    peer.end(A, "turn", "completed").await;
    first.await.unwrap().unwrap();
    assert_eq!(server.log(), ["token-1 takes calls", "token-1 takes none"]);

    let later = run(&turns, server.request().with_resume(A));
    complete(&mut peer, later, A).await;
    // The thread has the first one.
    let log = server.log();
    assert_eq!(
        log,
        ["token-1 takes calls", "token-1 takes none", "token-2 ends"]
    );

    let without = run(&turns, prompt().with_resume(A));
    complete(&mut peer, without, A).await;
    assert!(server.log().is_empty());

    peer.write(&json!({"method": "thread/closed", "params": {"threadId": A}}))
        .await;
    settle().await;
    assert_eq!(server.log(), ["token-1 ends"]);

    let again = run(&turns, server.request().with_resume(A));
    let load = peer.request("thread/resume").await;
    assert_eq!(
        config(&load)["http_headers"]["Authorization"],
        "Bearer token-3"
    );
    again.abort();
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_is_loaded_without_the_server_cannot_get_it() {
    let mut peer = Peer::connect(&Options::default());
    let turns = service(&peer);
    let first = run(&turns, prompt());
    complete(&mut peer, first, A).await;
    let server = Noting::new("http://127.0.0.1:1/mcp");
    let later = run(&turns, server.request().with_resume(A));
    let error = later.await.unwrap().unwrap_err();
    let TurnError::InvalidRequest { reason } = &error else {
        panic!("{error:?}");
    };
    assert!(reason.contains("MCP server"), "{reason}");
    assert_eq!(server.log(), ["token-1 ends"]);
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_has_a_server_cannot_get_another_one() {
    let mut peer = Peer::connect(&Options::default());
    let (turns, server) = (service(&peer), Noting::new("http://127.0.0.1:1/mcp"));
    let first = run(&turns, server.request());
    complete(&mut peer, first, A).await;
    let other = Noting::new("http://127.0.0.1:2/mcp");
    let later = run(&turns, other.request().with_resume(A));
    let error = later.await.unwrap().unwrap_err();
    assert!(
        matches!(error, TurnError::InvalidRequest { .. }),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_dropped_takes_no_calls_and_the_next_one_does() {
    let mut peer = Peer::connect(&Options::default());
    let (turns, server) = (service(&peer), Noting::new("http://127.0.0.1:1/mcp"));
    let first = run(&turns, server.request());
    peer.begin(A, "1").await;
    settle().await;
    assert_eq!(server.log(), ["token-1 takes calls"]);
    first.abort();
    peer.reads_interrupt(A).await;
    // Before the server has ended it.
    assert_eq!(server.log(), ["token-1 takes none"]);
    let next = run(&turns, server.request().with_resume(A));
    peer.end(A, "1", "interrupted").await;
    peer.begin_loaded(A, "2").await;
    settle().await;
    assert_eq!(server.log(), ["token-1 takes calls"]);
    peer.end(A, "2", "completed").await;
    next.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_debug_output_of_a_request_or_of_settings_has_the_token() {
    let server = Noting::new("http://127.0.0.1:1/mcp");
    let request = server.request();
    let settings = super::super::requests::settings(&request).unwrap();
    let shown = format!("{request:?} {settings:?}");
    assert!(!shown.contains("token"), "{shown}");
    assert!(shown.contains(server.url), "{shown}");
}
