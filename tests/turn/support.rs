use std::{
    fmt::Debug,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use codex_telemetry::{
    CodexClassifier, Event, Operation, Originator, ServiceBuilderExt,
    turn::{CodexExec, CodexExecBuilder, Drained, Turn, TurnError, TurnRequest},
};
#[cfg(target_os = "linux")]
use rustix::process::{Pid, Signal, kill_process};
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::checked::MemorySink;

/// The deadline of each test: far longer than any of them takes, even on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) const THREAD: &str = "01a2021f-12be-7782-b2de-86dee0c040e2";

/// A script with the lines of a turn that completes.
pub(crate) const GOOD_TURN: &str = r#"
cat <<'END'
{"type":"thread.started","thread_id":"01a2021f-12be-7782-b2de-86dee0c040e2"}
{"type":"turn.started"}
{"type":"item.completed","item":{"id":"item_0","type":"agent_message","text":"hi"}}
{"type":"turn.completed","usage":{"input_tokens":10,"cached_input_tokens":3,"cache_write_input_tokens":0,"output_tokens":5,"reasoning_output_tokens":2}}
END
"#;

pub(crate) fn fake_codex() -> CodexExecBuilder {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/turn/fake-codex");
    CodexExec::builder().codex(path)
}

/// Returns a request for which the fake runs `script`.
pub(crate) fn request(script: &str) -> TurnRequest {
    prompt("a prompt", script)
}

/// As [`request`], with another prompt.
pub(crate) fn prompt(prompt: &str, script: &str) -> TurnRequest {
    TurnRequest::new(prompt)
        .with_env("FAKE_CODEX", script)
        .without_env("CODEX_INTERNAL_ORIGINATOR_OVERRIDE")
        .without_env("TRACEPARENT")
}

/// A turn service with its layers, and their sink.
pub(crate) struct Stack {
    pub(crate) sink: MemorySink,
    service: CodexExec,
}

impl Stack {
    pub(crate) fn new(service: CodexExecBuilder) -> Self {
        Self {
            sink: MemorySink::new(),
            service: service.build(),
        }
    }

    /// Returns the service without layers.
    pub(crate) fn bare(&self) -> CodexExec {
        self.service.clone()
    }

    pub(crate) fn service(
        &self,
    ) -> impl Service<TurnRequest, Response = Turn, Error = TurnError, Future: Send> + use<> {
        ServiceBuilder::new()
            .originator(Originator::Sdk)
            .timing(self.sink.clone())
            .error_class(CodexClassifier)
            .service(self.service.clone())
    }

    pub(crate) async fn run(&self, request: TurnRequest) -> Result<Turn, TurnError> {
        let turn = self.service().oneshot(request);
        tokio::time::timeout(DEADLINE, turn)
            .await
            .expect("the turn hangs")
    }

    /// Returns the terminal event of the only turn.
    pub(crate) fn turn_event(&self) -> Event {
        let mut events = self.sink.events();
        events.retain(|event| event.kind().is_terminal() && event.operation() == Operation::Turn);
        let [event] = &events[..] else {
            panic!("not one turn has ended: {}", self.sink.timeline());
        };
        event.clone()
    }
}

/// Runs one request through a new stack.
pub(crate) async fn run(script: &str) -> (Result<Turn, TurnError>, Event) {
    let stack = Stack::new(fake_codex());
    let result = stack.run(request(script)).await;
    (result, stack.turn_event())
}

/// Returns a command, `sleep` for longer than any test, that no other process has on its command line.
pub(crate) fn unique_sleep() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Relaxed);
    format!("sleep 301.{}{next:03}", std::process::id())
}

/// Returns a script that starts a `sleep` in a session of its own, and waits until it is there. So it is not
/// killed with the process group of Codex.
pub(crate) fn detached(sleep: &str) -> String {
    format!("setsid {sleep} & until [ \"$(cat /proc/$!/comm)\" = sleep ]; do sleep 0.01; done\n")
}

/// Polls until a condition holds; returns `false` when it does not hold within the deadline.
pub(crate) async fn comes_true(mut condition: impl FnMut() -> bool) -> bool {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, poll).await.is_ok()
}

/// Waits until no process has `marker` on its command line.
pub(crate) async fn until_gone(marker: &str) {
    let gone = comes_true(|| running(marker).is_none()).await;
    assert!(gone, "still running: {:?}", running(marker));
}

/// Waits until a process has `marker` on its command line.
pub(crate) async fn until_running(marker: &str) {
    let running = comes_true(|| running(marker).is_some()).await;
    assert!(running, "not running: {marker}");
}

/// Polls a turn until a process has `marker` on its command line. Fails if the turn ends before.
pub(crate) async fn poll_until_running<T: Debug>(
    turn: &mut (impl Future<Output = T> + Unpin),
    marker: &str,
) {
    tokio::select! {
        turn = turn => panic!("the turn ended: {turn:?}"),
        () = until_running(marker) => {}
    }
}

/// Waits until a service is drained.
pub(crate) async fn drained(drain: impl Future<Output = Drained>) -> Drained {
    let drained = tokio::time::timeout(DEADLINE, drain).await;
    drained.expect("the service is not drained")
}

/// Returns a process with `marker` on its command line, as `PID COMMAND`. A zombie has no command line.
pub(crate) fn running(marker: &str) -> Option<String> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|process| {
            let line = std::fs::read(process.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let pid = process.file_name();
            Some(format!("{} {line}", pid.to_string_lossy()))
        })
        .find(|line| line.contains(marker))
}

/// Returns the id of a process with `marker` on its command line. Waits for it: a process that was just started
/// has an empty one.
#[cfg(target_os = "linux")]
pub(crate) async fn pid_of(marker: &str) -> Pid {
    until_running(marker).await;
    let process = running(marker).unwrap();
    let pid = process.split(' ').next().unwrap().parse();
    Pid::from_raw(pid.unwrap()).unwrap()
}

#[cfg(target_os = "linux")]
pub(crate) fn signal(pid: Pid, signal: Signal) {
    kill_process(pid, signal).unwrap();
}

/// Returns the ids of the children of this process, of all its threads, zombies included.
#[cfg(target_os = "linux")]
pub(crate) fn children() -> String {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let lists = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")));
    lists.map(Result::unwrap_or_default).collect()
}
