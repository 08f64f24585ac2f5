use std::{path::PathBuf, time::Duration};

use codex_telemetry::{
    CodexClassifier, Event, Operation, Originator, ServiceBuilderExt,
    turn::{Turn, TurnError, TurnRequest, TurnService, TurnServiceBuilder},
};
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::checked::MemorySink;

/// Far more than anything here takes, also on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) const THREAD: &str = "01a2021f-12be-7782-b2de-86dee0c040e2";

/// The lines of a turn that goes well.
pub(crate) const GOOD_TURN: &str = r#"
cat <<'END'
{"type":"thread.started","thread_id":"01a2021f-12be-7782-b2de-86dee0c040e2"}
{"type":"turn.started"}
{"type":"item.completed","item":{"id":"item_0","type":"agent_message","text":"hi"}}
{"type":"turn.completed","usage":{"input_tokens":10,"cached_input_tokens":3,"cache_write_input_tokens":0,"output_tokens":5,"reasoning_output_tokens":2}}
END
"#;

pub(crate) fn fake_codex() -> TurnServiceBuilder {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/turn/fake-codex");
    TurnService::builder().codex(path)
}

/// A request that makes the fake run `script`.
pub(crate) fn request(script: &str) -> TurnRequest {
    TurnRequest::new("a prompt")
        .with_env("FAKE_CODEX", script)
        .without_env("CODEX_INTERNAL_ORIGINATOR_OVERRIDE")
        .without_env("TRACEPARENT")
}

/// A stack around a turn service, and the sink behind it.
pub(crate) struct Stack {
    pub(crate) sink: MemorySink,
    service: TurnService,
}

impl Stack {
    pub(crate) fn new(service: TurnServiceBuilder) -> Self {
        Self {
            sink: MemorySink::new(),
            service: service.build(),
        }
    }

    /// The service without layers.
    pub(crate) fn bare(&self) -> TurnService {
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

    /// The terminal event of the one turn; every call has a start and an end.
    pub(crate) fn turn_event(&self) -> Event {
        let events = self.sink.events();
        let timeline = self.sink.timeline();
        let starts = events.iter().filter(|event| !event.kind().is_terminal());
        for start in starts.clone() {
            let ends = events
                .iter()
                .filter(|event| event.kind().is_terminal() && event.span_id() == start.span_id());
            assert_eq!(ends.count(), 1, "{timeline}");
        }
        assert_eq!(starts.count() * 2, events.len(), "{timeline}");
        let mut turns = events
            .into_iter()
            .filter(|event| event.kind().is_terminal() && event.operation() == Operation::Turn);
        let turn = turns.next().expect("no turn has ended");
        assert!(turns.next().is_none(), "{timeline}");
        turn
    }
}

/// Runs one request through a fresh stack.
pub(crate) async fn run(script: &str) -> (Result<Turn, TurnError>, Event) {
    let stack = Stack::new(fake_codex());
    let result = stack.run(request(script)).await;
    (result, stack.turn_event())
}

/// Waits until something has come true; `false` when it does not.
pub(crate) async fn comes_true(mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !is_so() {
        if tokio::time::Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

/// Waits until no process has `marker` in its command line, and tells which have when none should.
pub(crate) async fn gone(marker: &str) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while let Some(left) = running(marker) {
        assert!(
            tokio::time::Instant::now() < deadline,
            "still there: {left}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a process has `marker` in its command line.
pub(crate) async fn there(marker: &str) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while running(marker).is_none() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "never there: {marker}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A process with `marker` in its command line, zombies included by their absence of one.
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
