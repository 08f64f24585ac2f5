//! A minimal client of `codex app-server`: no layers, no bounds, no deadlines, one turn of a thread at a time.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::oneshot,
};

pub(crate) struct BareAppServer {
    child: Child,
    stdin: tokio::sync::Mutex<ChildStdin>,
    waiting: Arc<Mutex<Waiting>>,
    next_id: AtomicU64,
}

/// Who waits for a line of the server.
#[derive(Default)]
struct Waiting {
    /// By the id of the request.
    answers: HashMap<u64, oneshot::Sender<Value>>,
    /// By the id of the thread, for the end of its turn.
    turns: HashMap<String, oneshot::Sender<Value>>,
}

// === impl BareAppServer ===

impl BareAppServer {
    /// Starts the server, and waits until it is initialized.
    pub(crate) async fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let stdout = child.stdout.take().unwrap();
        tokio::spawn(read(stdout, Arc::clone(&waiting)));
        let server = Self {
            stdin: tokio::sync::Mutex::new(child.stdin.take().unwrap()),
            child,
            waiting,
            next_id: AtomicU64::new(1),
        };
        let client = json!({"clientInfo": {"name": "bare", "version": "1"}});
        server.request("initialize", client).await;
        server.write(&json!({"method": "initialized"})).await;
        server
    }

    /// Starts a thread, and returns its id.
    pub(crate) async fn start_thread(&self, params: Value) -> String {
        let answer = self.request("thread/start", params).await;
        answer["thread"]["id"].as_str().unwrap().to_owned()
    }

    /// Runs a turn to its end. The thread has no other turn.
    pub(crate) async fn turn(&self, thread: &str, prompt: &str) {
        let (sender, end) = oneshot::channel();
        let thread_id = thread.to_owned();
        let before = self.waiting.lock().unwrap().turns.insert(thread_id, sender);
        assert!(before.is_none(), "the thread has a turn");
        let input = json!([{"type": "text", "text": prompt}]);
        let params = json!({"threadId": thread, "input": input});
        self.request("turn/start", params).await;
        let turn = end.await.unwrap();
        assert_eq!(turn["status"], "completed", "{turn}");
    }

    /// Closes the input of the server, and waits for its exit.
    pub(crate) async fn end(mut self) {
        drop(self.stdin);
        assert!(self.child.wait().await.unwrap().success());
    }

    /// Sends a request, and returns its result.
    async fn request(&self, method: &str, params: Value) -> Value {
        let id = self.next_id.fetch_add(1, Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().unwrap().answers.insert(id, sender);
        self.write(&json!({"id": id, "method": method, "params": params}))
            .await;
        let mut answer = answer.await.unwrap();
        assert!(answer["error"].is_null(), "{answer}");
        answer["result"].take()
    }

    async fn write(&self, line: &Value) {
        let mut stdin = self.stdin.lock().await;
        stdin
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }
}

/// Gives each line to the one who waits for it, until the server exits. Nobody gets an answer then, and panics.
async fn read(stdout: ChildStdout, waiting: Arc<Mutex<Waiting>>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut line: Value = serde_json::from_str(&line).unwrap();
        let mut waiting = waiting.lock().unwrap();
        let (waiter, content) = match line["method"].as_str() {
            None => {
                let id = line["id"].as_u64().unwrap();
                (waiting.answers.remove(&id), line)
            }
            Some("turn/completed") => {
                let params = &mut line["params"];
                let waiter = waiting.turns.remove(params["threadId"].as_str().unwrap());
                (waiter, params["turn"].take())
            }
            Some(_) => continue,
        };
        // The one who waited may have given up.
        let _ = waiter.map(|waiter| waiter.send(content));
    }
    *waiting.lock().unwrap() = Waiting::default();
}
