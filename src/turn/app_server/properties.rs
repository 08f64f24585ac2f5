//! Properties that hold for anything that a server writes. Property tests and a fuzz target check them.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::ready,
    process::ExitStatus,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use opentelemetry::SpanId;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream},
    sync::oneshot,
    task::yield_now,
    time::timeout,
};
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;

use super::{
    CodexAppServer,
    peer::{Options, PipeEnd, connect, pipe},
    server::Server,
};
use crate::{
    approval::{ApprovalRequest, Decision},
    event::{Event, EventKind, Operation, Phases, names},
    sink::MemorySink,
    timing::TimingLayer,
    tool::{HostTools, ToolCall, ToolError, ToolOutput, ToolService, ToolSpec},
    turn::{Turn, TurnRequest},
};

/// The threads of the turns that run while the server writes. The requests that start the turns have the ids from
/// [`FIRST_START`] on, in the same order.
const THREADS: [&str; 3] = ["a", "b", "c"];

#[cfg(test)]
const FIRST_START: usize = 1 + THREADS.len();

/// The longest line, in bytes.
const LINE_LIMIT: usize = 16 * 1024;

/// How far apart two times may be that are the same: the clock is read twice.
const TOLERANCE: Duration = Duration::from_millis(1);

/// How often turns are run whose times are not in order. A thread may be suspended between two readings of the clock.
const TRIES: usize = 5;

/// How the turns of a server ended: their results, or the texts of their errors.
type Results = [Result<Turn, String>; THREADS.len()];

/// Checks that three turns end whatever their server writes before it exits, that each call has one start and one
/// end, that the responses of the model add up to their turn, that Codex is told a yes only if the approver
/// said so, and that a tool of the program has succeeded only if it has run. `choice` is what the approver says.
#[allow(unreachable_pub, reason = "a fuzz target reaches it")]
pub fn any_server(output: &[u8], sizes: &[u16], choice: u8) {
    let _ = run(output, sizes, choice);
}

/// Checks that the results of turns do not depend on the sizes of the reads.
#[allow(unreachable_pub, reason = "a fuzz target reaches it")]
pub fn any_reads(output: &[u8], sizes: &[u16]) {
    let whole = run(output, &[], 0);
    let pieces = run(output, sizes, 0);
    assert!(whole == pieces, "{whole:?}\n{pieces:?}");
}

/// Runs three turns with a server that writes `output` once it has their requests, in pieces of given sizes, in a
/// cycle.
fn run(output: &[u8], sizes: &[u16], choice: u8) -> Results {
    for _ in 1..TRIES {
        if let (results, true) = try_to_run(output, sizes, choice) {
            return results;
        }
    }
    let (results, is_in_order) = try_to_run(output, sizes, choice);
    assert!(
        is_in_order,
        "responses of the model overlap, or are not within their turn"
    );
    results
}

/// Returns the results of the turns, and whether the responses are within their turns, one after the other.
fn try_to_run(output: &[u8], sizes: &[u16], choice: u8) -> (Results, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let decision = match choice % 4 {
        0 => Decision::decline("no"),
        1 => Decision::Cancel,
        2 => Decision::Accept,
        _ => Decision::AcceptForSession,
    };
    let accepts = choice % 4 >= 2;
    let sink = MemorySink::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let (ran, tools) = host_tools(&sink, choice < 128);
    let (results, written) = runtime.block_on(async {
        let service = |server| {
            let asked = Arc::clone(&asked);
            let approver = service_fn(move |_: ApprovalRequest| {
                asked.fetch_add(1, Relaxed);
                ready(Ok::<_, Infallible>(decision.clone()))
            });
            let builder = CodexAppServer::builder().codex("/no/such/codex");
            let builder = builder.approver(approver, Duration::from_secs(60));
            builder.tools(tools).build().with_server(server)
        };
        timeout(
            Duration::from_secs(60),
            converse(output, sizes, &sink, service),
        )
        .await
        .expect("it hangs")
    });
    let accepted = written.iter().filter(|line| is_acceptance(line)).count();
    let asked = asked.load(Relaxed);
    assert!(accepted <= if accepts { asked } else { 0 }, "{written:?}");
    let succeeded = written
        .iter()
        .filter(|line| line["result"]["success"] == true)
        .count();
    assert!(succeeded <= ran.load(Relaxed), "{written:?}");
    (results, check_calls(&sink.events()))
}

/// Returns the tools of the program, and how many calls have run: `t` answers at once, `u` later, `v` never, and `w`
/// fails. The stack makes events or not.
fn host_tools(sink: &MemorySink, is_timed: bool) -> (Arc<AtomicUsize>, HostTools) {
    let ran = Arc::new(AtomicUsize::new(0));
    let tool = {
        let ran = Arc::clone(&ran);
        service_fn(move |call: ToolCall| {
            ran.fetch_add(1, Relaxed);
            async move {
                match &*call.name {
                    "u" => yield_now().await,
                    "v" => std::future::pending().await,
                    "w" => return Err(ToolError::Disabled { tool: call.name }),
                    _ => {}
                }
                Ok(ToolOutput::new(call.arguments))
            }
        })
    };
    let registry = ["t", "u", "v", "w"]
        .into_iter()
        .fold(ToolService::builder(), |builder, name| {
            builder.tool(ToolSpec::new(name, "A tool"), tool.clone())
        });
    let registry = registry.build().expect("the specifications are right");
    let deadline = Duration::from_secs(60);
    let tools = if is_timed {
        let stack = TimingLayer::new(sink.clone()).layer(registry.clone());
        HostTools::new(&registry, stack, deadline)
    } else {
        HostTools::new(&registry, registry.clone(), deadline)
    };
    (ran, tools)
}

/// Returns the results of the turns, and what the program has written.
async fn converse(
    output: &[u8],
    sizes: &[u16],
    sink: &MemorySink,
    service: impl FnOnce(Server) -> CodexAppServer,
) -> (Results, Vec<Value>) {
    let options = Options {
        line_limit: LINE_LIMIT,
        ..Options::default()
    };
    let (stdout, mut theirs) = pipe();
    let (stderr, _) = pipe();
    let (exit, exited) = oneshot::channel();
    let (router, _, stdin, serving) = connect(&options, stdout, stderr, exited);
    let service = service(Server::of_router(Arc::clone(&router)));
    let turns = THREADS.map(|_| {
        let layered = TimingLayer::new(sink.clone()).layer(service.clone());
        tokio::spawn(layered.oneshot(TurnRequest::new("a prompt")))
    });
    let mut stdin = BufReader::new(stdin);
    for thread in THREADS {
        let request = line(&mut stdin).await.expect("a request");
        let answer = json!({"id": request["id"], "result": {"thread": {"id": thread}}});
        let answer = format!("{answer}\n");
        theirs.write_all(answer.as_bytes()).await.expect("a pipe");
    }
    for thread in THREADS {
        let request = line(&mut stdin).await.expect("a request");
        assert_eq!(request["params"]["threadId"], thread);
    }
    let written = tokio::spawn(async move {
        let mut lines = Vec::new();
        while let Some(line) = line(&mut stdin).await {
            lines.push(line);
        }
        lines
    });
    feed(&mut theirs, output, sizes).await;
    drop(theirs);
    // An error means that it was killed before.
    let _ = exit.send(ExitStatus::default());
    serving.await.expect("the connection does not panic");
    assert!(router.over().is_some());
    assert_eq!(router.thread_count(), 0);
    let [first, second, third] = turns.map(|turn| async {
        let turn = turn.await.expect("a turn does not panic");
        // Its times differ each time.
        turn.map(|turn| turn.with_phases(Phases::new()))
            .map_err(|error| format!("{error:?}"))
    });
    let results = [first.await, second.await, third.await];
    assert_eq!(service.active(), 0);
    (results, written.await.expect("lines"))
}

async fn feed(pipe: &mut PipeEnd, output: &[u8], sizes: &[u16]) {
    let mut sizes = sizes.iter().cycle();
    let mut rest = output;
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |size| (*size).into());
        let (piece, after) = rest.split_at(size.clamp(1, rest.len()));
        rest = after;
        if pipe.write_all(piece).await.is_err() {
            // The program does not read any more.
            return;
        }
        // Of a size of 0 the turns get no time after the piece.
        for _ in 0..size.min(4) {
            yield_now().await;
        }
    }
}

async fn line(stdin: &mut BufReader<DuplexStream>) -> Option<Value> {
    let mut line = String::new();
    stdin.read_line(&mut line).await.expect("a pipe");
    serde_json::from_str(&line).ok()
}

/// Returns whether a line tells Codex that it may do something.
fn is_acceptance(line: &Value) -> bool {
    let result = &line["result"];
    let decision = &result["decision"];
    let is_yes = decision.is_object()
        || decision
            .as_str()
            .is_some_and(|decision| decision.starts_with("accept"));
    let has_permissions = result["permissions"]
        .as_object()
        .is_some_and(|all| !all.is_empty());
    is_yes || has_permissions || result["action"] == "accept"
}

/// Checks that each call has one start and one end, and that the responses of the model are as many as their turns
/// say. Returns whether they are within their turns, one after the other.
fn check_calls(events: &[Event]) -> bool {
    let mut open: HashMap<SpanId, Option<SpanId>> = HashMap::new();
    let mut ended = Vec::new();
    for event in events {
        if event.kind() == EventKind::Start {
            let parent = event.parent_span_id();
            assert!(
                parent.is_none_or(|parent| open.contains_key(&parent)),
                "{event:?}"
            );
            assert!(open.insert(event.span_id(), parent).is_none(), "{event:?}");
        } else {
            assert!(open.remove(&event.span_id()).is_some(), "{event:?}");
            let is_parent = open.values().any(|parent| *parent == Some(event.span_id()));
            assert!(!is_parent, "{event:?}");
            ended.push(event);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    let turns = ended
        .iter()
        .filter(|event| event.operation() == Operation::Turn);
    let mut is_in_order = true;
    for turn in turns {
        let of_turn = |event: &&&Event| {
            event.operation() == Operation::Chat && event.parent_span_id() == Some(turn.span_id())
        };
        let responses: Vec<_> = ended.iter().filter(of_turn).copied().collect();
        is_in_order &= are_in_order(turn, &responses);
        let count = number(turn, names::INFERENCE_CALLS).unwrap_or_default();
        assert_eq!(usize::try_from(count), Ok(responses.len()), "{turn:?}");
    }
    is_in_order
}

fn are_in_order(turn: &Event, responses: &[&Event]) -> bool {
    let mut spans: Vec<_> = responses.iter().map(|event| span(event)).collect();
    spans.sort();
    let (mut earliest, latest) = span(turn);
    spans.into_iter().all(|(begins, ends)| {
        let is_after = begins + TOLERANCE >= earliest;
        earliest = ends;
        is_after && begins <= ends && ends <= latest + TOLERANCE
    })
}

/// Returns when a call began and ended.
fn span(event: &Event) -> (SystemTime, SystemTime) {
    (event.start_time(), event.time())
}

fn number(event: &Event, name: &str) -> Option<i64> {
    match event.attribute(name) {
        Some(opentelemetry::Value::I64(number)) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod phases;
#[cfg(test)]
mod tests;
