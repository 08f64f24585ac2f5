//! Calls of the program's own tools by a Codex: 200 tools, 50 calls at once, with arguments of 1 MB and results of
//! 10 MB. Some fail, panic or are late, and some are dropped with their turn.

use std::{
    collections::BTreeMap,
    fmt,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use codex_telemetry::{
    BoxError, CallContext, CodexClassifier, ErrorClass, Event, EventKind, Operation, Originator,
    ServiceBuilderExt, ToolService, ToolSpec,
    tool::HostTools,
    tool_fn,
    turn::{CodexAppServer, Turn, TurnError, TurnRequest},
};
use serde_json::{Value, json};
use tokio::{runtime, sync::Barrier};
use tower::{ServiceBuilder, ServiceExt};

use crate::{
    checked::MemorySink,
    resources::{PeakMemory, TIMEOUT, until},
    stand_in,
};

/// How many calls a turn makes at once.
const CALLS: usize = 50;
const TOOLS: usize = 200;

/// The size of an argument, and of a result that is not large, in bytes.
const ARGUMENT: usize = 1_000_000;
/// The size of a large result, in bytes.
const RESULT: usize = 10_000_000;

/// What a turn may add to the memory of the program: the arguments of its calls, in their items and in the calls
/// themselves, and as many results as wait to be written.
const MAX_MEMORY: u64 = 250 << 20;

/// The deadline of the calls that are late.
const DEADLINE: Duration = Duration::from_millis(300);

/// What a tool does with a call, by its name.
const KINDS: [&str; 5] = ["answers", "fails", "panics", "hangs", "misfits"];

/// What the turns have taken.
pub(crate) struct Report {
    took: Duration,
    /// Of the turn with the large results, in bytes.
    memory: u64,
}

/// The arguments of every tool, with a text that makes them large.
#[derive(serde::Deserialize)]
struct Arguments {
    letter: char,
    #[serde(rename = "text")]
    _text: String,
}

/// How calls have ended: the outcomes, with their error classes, and how often there was each.
type Ends = BTreeMap<String, usize>;

/// A program with tools, and the Codex that calls them.
struct Program {
    sink: MemorySink,
    turns: CodexAppServer,
    /// How many calls have begun.
    begun: Arc<AtomicUsize>,
}

pub(crate) fn run() -> Report {
    let started = Instant::now();
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let memory = runtime.block_on(async {
        all_kinds_at_once().await;
        dropped_with_their_turn().await;
        large_ones_at_once().await
    });
    let tasks = || runtime.metrics().num_alive_tasks() == 0;
    runtime.block_on(until("no task is left", tasks));
    Report {
        took: started.elapsed(),
        memory,
    }
}

/// Every result arrives whole, and the memory is bounded.
async fn large_ones_at_once() -> u64 {
    let program = Program::new(TIMEOUT, CALLS, RESULT);
    let peak = PeakMemory::begin();
    let calls = (0..CALLS).map(|number| call("answers", number, ARGUMENT));
    let turn = program.run(calls.collect()).await.unwrap();
    let memory = peak.grown();
    for answer in answers(&turn) {
        assert_eq!(answer["success"], true, "{answer}");
        assert_eq!(answer["bytes"], RESULT, "{answer}");
        assert_eq!(answer["is_right"], true, "{answer}");
    }
    assert_eq!(program.end().await, ends([("ok ", CALLS)]));
    assert!(memory < MAX_MEMORY, "{memory} bytes");
    memory
}

/// A call that fails changes no other call.
async fn all_kinds_at_once() {
    let program = Program::new(DEADLINE, 1, ARGUMENT);
    let of_kind = CALLS / KINDS.len();
    let kinds = KINDS.iter().cycle().take(CALLS);
    let calls = kinds
        .enumerate()
        .map(|(number, kind)| call(kind, number, 100_000));
    let turn = program.run(calls.collect()).await.unwrap();
    for answer in answers(&turn) {
        let (tool, text) = (answer["tool"].as_str().unwrap(), &answer["text"]);
        let expected = match tool.split('_').next().unwrap() {
            "answers" => {
                assert_eq!(answer["bytes"], ARGUMENT, "{answer}");
                assert_eq!(answer["is_right"], true, "{answer}");
                continue;
            }
            "misfits" => "invalid arguments for tool",
            "hangs" => "did not finish in time",
            "fails" | "panics" => "failed: continue without it",
            other => panic!("{other}"),
        };
        assert_eq!(answer["success"], false, "{answer}");
        assert!(text.as_str().unwrap().contains(expected), "{answer}");
    }
    let expected = [
        ("ok ", of_kind),
        ("error tool_failed", of_kind),
        ("error invalid_arguments", of_kind),
        ("error timeout", of_kind),
        ("error panic", of_kind),
    ];
    assert_eq!(program.end().await, ends(expected));
}

/// Each ends as cancelled.
async fn dropped_with_their_turn() {
    let program = Program::new(TIMEOUT, CALLS, 0);
    let calls = (0..CALLS).map(|number| call("hangs", number, 100_000));
    let begun = Arc::clone(&program.begun);
    tokio::select! {
        turn = program.run(calls.collect()) => panic!("it ended: {turn:?}"),
        () = until("all calls run", || begun.load(SeqCst) == CALLS) => {}
    }
    assert_eq!(program.end().await, ends([("cancelled cancelled", CALLS)]));
}

fn ends<const N: usize>(expected: [(&str, usize); N]) -> Ends {
    expected.map(|(end, count)| (end.to_owned(), count)).into()
}

/// Returns a call for the prompt of a turn.
fn call(kind: &str, number: usize, size: usize) -> Value {
    let tool = format!("{kind}_{}", number % (TOOLS / KINDS.len()));
    let letter = char::from(b'a' + u8::try_from(number % 26).unwrap());
    let letter = match kind {
        "misfits" => "more than a letter".to_owned(),
        _ => letter.to_string(),
    };
    json!({"tool": tool, "size": size, "arguments": {"letter": letter}})
}

/// Returns what Codex was answered.
fn answers(turn: &Turn) -> Vec<Value> {
    let report = turn.final_message.as_ref().unwrap();
    let mut report: Value = serde_json::from_str(report).unwrap();
    assert_eq!(report["tools"], TOOLS);
    let answers = report["answers"].as_array_mut().unwrap();
    assert_eq!(answers.len(), CALLS);
    std::mem::take(answers)
}

// === impl Program ===

impl Program {
    /// Tools that run wait until `at_once` of them do. One that answers returns `result` bytes.
    fn new(deadline: Duration, at_once: usize, result: usize) -> Self {
        let (sink, begun) = (MemorySink::new(), Arc::default());
        let tools = tools(&begun, at_once, result);
        let stack = ServiceBuilder::new()
            .timing(sink.clone())
            .error_class(CodexClassifier)
            .service(tools.clone());
        let turns = CodexAppServer::builder()
            .codex(stand_in::program())
            .env(stand_in::VARIABLE, stand_in::binary())
            .tools(HostTools::new(&tools, stack, deadline))
            .build();
        Self { sink, turns, begun }
    }

    /// Runs a turn that makes some calls.
    async fn run(&self, calls: Vec<Value>) -> Result<Turn, TurnError> {
        let turns = ServiceBuilder::new()
            .originator(Originator::Sdk)
            .timing(self.sink.clone())
            .error_class(CodexClassifier)
            .service(self.turns.clone());
        let request = TurnRequest::new(Value::from(calls).to_string());
        let turn = tokio::time::timeout(TIMEOUT, turns.oneshot(request)).await;
        turn.expect("the turn ends")
    }

    /// Ends the server. Returns how the calls of tools have ended; each is inside of the turn.
    async fn end(self) -> Ends {
        let drained = self.turns.shutdown(TIMEOUT).await;
        assert!(drained.orphans.is_empty(), "{drained:?}");
        let events = self.sink.events();
        let of = |operation| {
            let ends =
                |event: &&Event| event.kind() != EventKind::Start && event.operation() == operation;
            events.iter().filter(ends).collect::<Vec<_>>()
        };
        let (turns, tools) = (of(Operation::Turn), of(Operation::Tool));
        let [turn] = turns[..] else {
            panic!("{} turns", turns.len());
        };
        let mut outcomes = BTreeMap::new();
        for tool in tools {
            assert_eq!(tool.parent_span_id(), Some(turn.span_id()));
            assert!(tool.call_id().is_some());
            let class = tool.error_class().map_or("", ErrorClass::as_str);
            let end = format!("{} {class}", tool.outcome().unwrap().as_str());
            *outcomes.entry(end).or_default() += 1;
        }
        outcomes
    }
}

/// Returns a registry with as many tools of each kind.
fn tools(begun: &Arc<AtomicUsize>, at_once: usize, result: usize) -> ToolService {
    let all = Arc::new(Barrier::new(at_once));
    let mut builder = ToolService::builder();
    for (number, kind) in
        (0..TOOLS).map(|number| (number / KINDS.len(), KINDS[number % KINDS.len()]))
    {
        let (all, begun) = (Arc::clone(&all), Arc::clone(begun));
        let tool = tool_fn(move |arguments: Arguments, _: CallContext| {
            let (all, begun) = (Arc::clone(&all), Arc::clone(&begun));
            async move {
                begun.fetch_add(1, SeqCst);
                all.wait().await;
                match kind {
                    "fails" => Err(BoxError::from("the disk is full")),
                    // Without a message, because there are many.
                    "panics" => resume_unwind(Box::new("under load")),
                    "hangs" => std::future::pending().await,
                    _ => Ok(arguments.letter.to_string().repeat(result)),
                }
            }
        });
        let spec = ToolSpec::new(format!("{kind}_{number}"), "A tool of the tests");
        builder = builder.tool(spec, tool);
    }
    builder.build().unwrap()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "host calls: {:.1?}, {} MiB for {CALLS} results of {RESULT} bytes",
            self.took,
            self.memory >> 20
        )
    }
}
