//! A server that exists in memory alone, for tests and fuzz targets.

use std::{
    collections::VecDeque,
    io,
    os::unix::process::ExitStatusExt,
    pin::Pin,
    process::ExitStatus,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{
        AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream, ReadBuf,
        duplex,
    },
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use super::{
    connection::{self, Connection},
    router::{Limits, Router},
    server::Server,
};
use crate::turn::process::{Exit, Waiting};

/// How much each pipe holds, in bytes.
const PIPE: usize = 64 * 1024;

/// How long a line of the program is waited for: longer than any deadline, by a paused clock.
const DEADLINE: Duration = Duration::from_secs(1_000_000);

/// The server's side of a connection.
pub(super) struct Peer {
    pub(super) router: Arc<Router>,
    /// What the program writes.
    stdin: BufReader<DuplexStream>,
    stdout: Option<PipeEnd>,
    pub(super) stderr: Option<PipeEnd>,
    exit: Option<oneshot::Sender<ExitStatus>>,
    is_killed: Arc<AtomicBool>,
    pub(super) serving: JoinHandle<()>,
    /// Lines that were read and put back.
    read: VecDeque<Value>,
}

/// An end of a pipe in memory. The server writes to one, the program reads the other.
pub(super) struct PipeEnd {
    stream: DuplexStream,
    waiting: Arc<AtomicU64>,
}

/// How a connection is limited.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) limits: Limits,
    pub(super) line_limit: usize,
    pub(super) exit_grace: Duration,
    /// Whether a kill has no effect.
    pub(super) is_immortal: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits {
                request_timeout: Duration::from_secs(60),
                interrupt_timeout: Duration::from_secs(10),
                idle_timeout: None,
                max_threads: 32,
            },
            line_limit: 64 * 1024,
            exit_grace: Duration::from_secs(5),
            is_immortal: false,
        }
    }
}

/// Returns the program's end of a pipe, and the server's.
pub(super) fn pipe() -> (PipeEnd, PipeEnd) {
    let (ours, theirs) = duplex(PIPE);
    let waiting = Arc::new(AtomicU64::new(0));
    let end = |stream| PipeEnd {
        stream,
        waiting: Arc::clone(&waiting),
    };
    (end(ours), end(theirs))
}

/// Connects a server that writes what `stdout` reads, and exits when `exit` says so. Returns the router, whether
/// the server was killed, what the program writes to it, and the tasks of the connection.
pub(super) fn connect(
    options: &Options,
    stdout: PipeEnd,
    stderr: PipeEnd,
    exit: oneshot::Receiver<ExitStatus>,
) -> (Arc<Router>, Arc<AtomicBool>, DuplexStream, JoinHandle<()>) {
    let (router, lines) = Router::new(options.limits.clone());
    let (stdin, closed) = oneshot::channel();
    let (alive, killed) = oneshot::channel::<()>();
    let is_killed = Arc::new(AtomicBool::new(false));
    let is_immortal = options.is_immortal;
    let exited = {
        let is_killed = Arc::clone(&is_killed);
        async move {
            let status = tokio::select! {
                Ok(status) = exit => status,
                _ = killed => {
                    is_killed.store(true, Relaxed);
                    if is_immortal {
                        std::future::pending::<()>().await;
                    }
                    ExitStatus::from_raw(9)
                }
            };
            Exit {
                status: Ok(status),
                was_stopped: false,
            }
        }
    };
    let connection = Connection {
        router: Arc::clone(&router),
        stdout,
        stderr,
        exited,
        alive,
        stdin,
        line_limit: options.line_limit,
        exit_grace: options.exit_grace,
    };
    let (ours, theirs) = duplex(PIPE);
    let serving = tokio::spawn(connection.serve(std::future::pending()));
    tokio::spawn(connection::write(ours, lines, closed));
    (router, is_killed, theirs, serving)
}

// === impl Peer ===

impl Peer {
    pub(super) fn connect(options: &Options) -> Self {
        let (stdout, their_stdout) = pipe();
        let (stderr, their_stderr) = pipe();
        let (exit, exited) = oneshot::channel();
        let (router, is_killed, stdin, serving) = connect(options, stdout, stderr, exited);
        Self {
            router,
            stdin: BufReader::new(stdin),
            stdout: Some(their_stdout),
            stderr: Some(their_stderr),
            exit: Some(exit),
            is_killed,
            serving,
            read: VecDeque::new(),
        }
    }

    /// Returns the server as the service knows it.
    pub(super) fn server(&self) -> Server {
        Server::of_router(Arc::clone(&self.router))
    }

    /// Reads the next line of the program; `None` once it has closed the pipe.
    pub(super) async fn read(&mut self) -> Option<Value> {
        if let Some(line) = self.read.pop_front() {
            return Some(line);
        }
        let mut line = String::new();
        let read = timeout(DEADLINE, self.stdin.read_line(&mut line)).await;
        let length = read.expect("the program writes nothing").expect("a pipe");
        (length > 0).then(|| serde_json::from_str(&line).expect("a line of JSON"))
    }

    /// Reads the next line of the program, which has to be a request.
    pub(super) async fn request(&mut self, method: &str) -> Value {
        let line = self.read().await.expect("a request");
        assert_eq!(line["method"], method, "{line}");
        line
    }

    /// Takes what the program writes from now on.
    pub(super) fn reader(&mut self) -> DuplexStream {
        let (_, closed) = duplex(1);
        std::mem::replace(&mut self.stdin, BufReader::new(closed)).into_inner()
    }

    /// Returns whether the program has written nothing more than what was read.
    pub(super) async fn is_quiet(&mut self) -> bool {
        let next = tokio::time::timeout(Duration::from_millis(1), self.read());
        match next.await {
            Ok(Some(line)) => {
                self.read.push_back(line);
                false
            }
            Ok(None) | Err(_) => true,
        }
    }

    /// Waits until the program has closed the pipe, and returns what it has written before.
    pub(super) async fn closed(&mut self) -> Vec<Value> {
        let mut lines = Vec::new();
        while let Some(line) = self.read().await {
            lines.push(line);
        }
        lines
    }

    pub(super) async fn write(&mut self, line: &Value) {
        self.write_text(&line.to_string()).await;
    }

    /// Writes a line, which may be of any form.
    pub(super) async fn write_text(&mut self, line: &str) {
        let stdout = self.stdout.as_mut().expect("it is open");
        let line = format!("{line}\n");
        // An error means that nobody reads any more.
        let _ = stdout.write_all(line.as_bytes()).await;
    }

    pub(super) async fn answer(&mut self, request: &Value, result: Value) {
        let answer = json!({"id": request["id"], "result": result});
        self.write(&answer).await;
    }

    /// Refuses a request, as one that cannot be done.
    pub(super) async fn reject(&mut self, request: &Value, message: &str) {
        let error = json!({"code": -32600, "message": message});
        self.write(&json!({"id": request["id"], "error": error}))
            .await;
    }

    /// Tells something of a turn.
    pub(super) async fn tell(&mut self, method: &str, thread: &str, turn: &str, fields: Value) {
        let mut params = json!({"threadId": thread, "turnId": turn});
        if let (Value::Object(params), Value::Object(fields)) = (&mut params, fields) {
            params.extend(fields);
        }
        self.write(&json!({"method": method, "params": params}))
            .await;
    }

    /// Loads a thread, new or known, and begins its turn.
    pub(super) async fn begin(&mut self, thread: &str, turn: &str) {
        let load = self.read().await.expect("a request");
        let is_load = ["thread/start", "thread/resume"]
            .contains(&load["method"].as_str().unwrap_or_default());
        assert!(is_load, "{load}");
        self.answer(&load, json!({"thread": {"id": thread}})).await;
        self.begin_loaded(thread, turn).await;
    }

    /// Begins the turn of a thread that is loaded.
    pub(super) async fn begin_loaded(&mut self, thread: &str, turn: &str) {
        let start = self.request("turn/start").await;
        assert_eq!(start["params"]["threadId"], thread);
        self.answer(&start, json!({"turn": {"id": turn}})).await;
        self.tell("turn/started", thread, turn, json!({})).await;
        let prompt = json!({"item": {"type": "userMessage", "id": "prompt"}});
        self.tell("item/completed", thread, turn, prompt).await;
    }

    pub(super) async fn end(&mut self, thread: &str, turn: &str, status: &str) {
        let turn_of = json!({"turn": {"id": turn, "status": status}});
        self.tell("turn/completed", thread, turn, turn_of).await;
    }

    /// Takes the end of the pipe, as a process does that the server has started.
    pub(super) fn take_stdout(&mut self) -> Option<PipeEnd> {
        self.stdout.take()
    }

    /// Exits, with what it has written before.
    pub(super) fn exit(&mut self, status: ExitStatus) {
        self.close();
        let exit = self.exit.take().expect("it has not exited");
        exit.send(status).expect("the exit is waited for");
    }

    /// Closes the pipes, and lives on.
    pub(super) fn close(&mut self) {
        self.stdout = None;
        self.stderr = None;
    }

    pub(super) fn is_killed(&self) -> bool {
        self.is_killed.load(Relaxed)
    }
}

// === impl PipeEnd ===

impl Waiting for PipeEnd {
    fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }
}

impl AsyncRead for PipeEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        self.waiting.fetch_sub(read as u64, Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PipeEnd {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.waiting.fetch_add(written as u64, Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
