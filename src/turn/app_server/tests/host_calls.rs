//! Calls of the program's own tools: in any order with their items, many at once, and after their ends.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use super::{A, B, MINUTE, prompt, settle};
use crate::{
    approval::{ApprovalRequest, Decision},
    event::{Clock, ErrorClass, Event, EventKind, Operation, Originator, Outcome, names},
    originator::OriginatorLayer,
    sink::MemorySink,
    timing::TimingLayer,
    tool::{HostTools, ToolCall, ToolError, ToolOutput, ToolService, ToolSpec},
    turn::{
        Turn, TurnError,
        app_server::{
            CodexAppServer,
            peer::{Options, Peer},
        },
    },
};

/// A turn that runs with a tool of the program, `t`: it waits for `gate`, if `{"wait": true}` is asked for, and
/// returns its `number`. It fails if it has none.
struct Rig {
    peer: Peer,
    sink: MemorySink,
    gate: Arc<Semaphore>,
    /// Tells the numbers of the calls that have begun to run.
    began: mpsc::UnboundedReceiver<u64>,
    /// How many calls run.
    active: Arc<AtomicUsize>,
    turns: CodexAppServer,
    turn: JoinHandle<Result<Turn, TurnError>>,
}

/// Counts a call that runs.
struct Active(Arc<AtomicUsize>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Stack {
    /// The program's layers make the event of a call.
    Timed,
    /// The event is made of the item.
    Bare,
    /// The program's layers make the event of a call, of which one runs at once.
    Limited,
}

impl Rig {
    /// Begins a turn with a stack.
    async fn begin(stack: Stack) -> Self {
        Self::begin_at(Clock::system(), stack).await
    }

    /// Begins a turn whose events have the times of a clock.
    async fn begin_at(clock: Clock, stack: Stack) -> Self {
        let options = Options {
            line_limit: 1024 * 1024,
            ..Options::default()
        };
        let mut peer = Peer::connect(&options);
        let sink = MemorySink::new();
        let gate = Arc::new(Semaphore::new(0));
        let active = Arc::new(AtomicUsize::new(0));
        let (told, began) = mpsc::unbounded_channel();
        let tool = {
            let (gate, active) = (Arc::clone(&gate), Arc::clone(&active));
            service_fn(move |call: ToolCall| {
                let (gate, told) = (Arc::clone(&gate), told.clone());
                active.fetch_add(1, Relaxed);
                let active = Active(Arc::clone(&active));
                async move {
                    let _active = active;
                    let number = call.arguments["number"].as_u64();
                    told.send(number.unwrap_or(u64::MAX)).unwrap();
                    if call.arguments["wait"] == true {
                        gate.acquire().await.unwrap().forget();
                    }
                    match number {
                        Some(number) => Ok(ToolOutput::new(number.into())),
                        None => Err(ToolError::Disabled { tool: call.name }),
                    }
                }
            })
        };
        let spec = ToolSpec::new("t", "A tool of the tests");
        let registry = ToolService::builder().tool(spec, tool).build().unwrap();
        let timing = TimingLayer::with_clock(sink.clone(), clock);
        let tools = match stack {
            Stack::Bare => HostTools::new(&registry, registry.clone(), MINUTE),
            Stack::Timed => HostTools::new(&registry, timing.layer(registry.clone()), MINUTE),
            Stack::Limited => {
                let limited = ServiceBuilder::new()
                    .concurrency_limit(1)
                    .layer(timing.clone());
                HostTools::new(&registry, limited.service(registry.clone()), MINUTE)
            }
        };
        let builder = CodexAppServer::builder()
            .codex("/no/such/codex")
            .tools(tools)
            .approver(
                service_fn(|_: ApprovalRequest| async { Ok::<_, Infallible>(Decision::Accept) }),
                MINUTE,
            );
        let turns = builder.build().with_server(peer.server());
        let layered = ServiceBuilder::new()
            .layer(OriginatorLayer::new(Originator::Sdk))
            .layer(timing)
            .service(turns.clone());
        let turn = tokio::spawn(layered.oneshot(prompt()));
        peer.begin(A, "1").await;
        Self {
            peer,
            sink,
            gate,
            began,
            active,
            turns,
            turn,
        }
    }

    /// Has the tool called.
    async fn call(&mut self, id: impl Into<Value>, call_id: &str, arguments: Value) {
        self.call_in(A, "1", id, call_id, arguments).await;
    }

    async fn call_in(
        &mut self,
        thread: &str,
        turn: &str,
        id: impl Into<Value>,
        call_id: &str,
        arguments: Value,
    ) {
        let params = json!({
            "threadId": thread, "turnId": turn, "callId": call_id, "namespace": null, "tool": "t",
            "arguments": arguments,
        });
        self.peer.put(id, "item/tool/call", params).await;
    }

    async fn item(&mut self, stage: &str, id: &str, status: &str) {
        let item = json!({"id": id, "type": "dynamicToolCall", "tool": "t", "arguments": {}, "status": status});
        let method = format!("item/{stage}");
        self.peer.tell(&method, A, "1", json!({"item": item})).await;
    }

    /// Reads an answer, and returns its id and whether it is a success, with its text.
    async fn answer(&mut self) -> (Value, bool, String) {
        let answer = self.peer.answered().await;
        let result = &answer["result"];
        let text = result["contentItems"][0]["text"].as_str().unwrap();
        let is_success = result["success"].as_bool().unwrap();
        (answer["id"].clone(), is_success, text.to_owned())
    }

    async fn end(&mut self, status: &str) {
        self.peer.end(A, "1", status).await;
    }

    /// Waits for the end of the turn, and returns the terminal events of its tools. Each has the turn as its parent.
    async fn tools(self) -> Vec<Event> {
        // The result is that of the test's server.
        let _ = self.turn.await.unwrap();
        assert_eq!(self.active.load(Relaxed), 0, "a call runs on");
        assert_eq!(self.turns.active(), 0);
        let events = self.sink.events();
        let starts = events
            .iter()
            .filter(|event| event.kind() == EventKind::Start);
        assert_eq!(2 * starts.count(), events.len(), "{events:?}");
        let is_turn = |event: &&Event| event.operation() == Operation::Turn;
        let turn = events.iter().find(is_turn).unwrap().clone();
        assert_eq!(events.last().map(Event::span_id), Some(turn.span_id()));
        let mut tools = events;
        tools.retain(|event| event.kind().is_terminal() && event.operation() == Operation::Tool);
        for tool in &tools {
            assert_eq!(tool.parent_span_id(), Some(turn.span_id()));
            assert_eq!(tool.trace_id(), turn.trace_id());
            assert_eq!(tool.originator(), turn.originator());
            assert_eq!(tool.call_name(), Some("t"));
            assert_eq!(tool.has_remote_parent(), turn.has_remote_parent());
        }
        tools
    }
}

const NOT_NOW: &str = "the program cannot run the tool now: continue without it";

#[tokio::test(start_paused = true)]
async fn a_call_and_its_item_are_one_event_whichever_comes_first() {
    for stack in [Stack::Timed, Stack::Bare] {
        for is_item_first in [true, false] {
            let mut rig = Rig::begin(stack).await;
            if is_item_first {
                rig.item("started", "c1", "inProgress").await;
            }
            rig.call(0, "c1", json!({"number": 7})).await;
            assert_eq!(rig.answer().await, (json!(0), true, "7".to_owned()));
            if !is_item_first {
                rig.item("started", "c1", "inProgress").await;
            }
            rig.item("completed", "c1", "completed").await;
            rig.end("completed").await;
            let [tool] = &rig.tools().await[..] else {
                panic!("not one event")
            };
            assert_eq!(tool.outcome(), Some(Outcome::Ok));
            assert_eq!(tool.call_id(), Some("c1"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_event_of_an_item_lasts_as_long_as_the_item_and_has_the_class_of_the_tools_failure() {
    let (clock, manual) = Clock::manual(UNIX_EPOCH);
    let mut rig = Rig::begin_at(clock, Stack::Bare).await;
    manual.advance(MINUTE);
    rig.item("started", "c1", "inProgress").await;
    settle().await;
    manual.advance(MINUTE / 2);
    tokio::time::sleep(MINUTE / 2).await;
    rig.call(0, "c1", json!({})).await;
    let (_, is_success, text) = rig.answer().await;
    assert_eq!(
        (is_success, &*text),
        (false, "tool `t` is disabled: continue without it")
    );
    rig.item("completed", "c1", "failed").await;
    rig.end("completed").await;
    let [tool] = &rig.tools().await[..] else {
        panic!("not one event")
    };
    assert_eq!(tool.error_class(), Some(ErrorClass::PolicyDenied));
    // With the millisecond that the test waits.
    let settled = Duration::from_millis(1);
    assert_eq!(tool.start_time(), UNIX_EPOCH + MINUTE - settled);
    assert_eq!(tool.duration(), Some(MINUTE / 2 + settled));
}

#[tokio::test(start_paused = true)]
async fn calls_with_the_same_id_all_run_and_are_all_answered() {
    let mut rig = Rig::begin(Stack::Timed).await;
    rig.item("started", "c1", "inProgress").await;
    rig.call("a", "c1", json!({"number": 1, "wait": true}))
        .await;
    rig.call("b", "c1", json!({"number": 2})).await;
    assert_eq!(rig.answer().await, (json!("b"), true, "2".to_owned()));
    rig.gate.add_permits(1);
    assert_eq!(rig.answer().await, (json!("a"), true, "1".to_owned()));
    rig.item("completed", "c1", "completed").await;
    rig.end("completed").await;
    // The tool has run twice.
    let tools = rig.tools().await;
    assert_eq!(tools.len(), 2);
    assert!(tools.iter().all(|tool| tool.outcome() == Some(Outcome::Ok)));
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_used_again_after_its_call_has_ended_is_another_call() {
    for stack in [Stack::Timed, Stack::Bare] {
        let mut rig = Rig::begin(stack).await;
        for number in 0..3 {
            rig.item("started", "c1", "inProgress").await;
            rig.call(number, "c1", json!({"number": number})).await;
            assert_eq!(rig.answer().await.2, number.to_string());
            rig.item("completed", "c1", "completed").await;
        }
        rig.end("completed").await;
        assert_eq!(rig.tools().await.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_of_another_turn_or_thread_is_refused_and_does_not_run() {
    let mut rig = Rig::begin(Stack::Timed).await;
    for (thread, turn) in [(A, "0"), (B, "1"), ("elsewhere", "1")] {
        rig.call_in(thread, turn, 5, "c1", json!({"number": 7}))
            .await;
        assert_eq!(rig.answer().await, (json!(5), false, NOT_NOW.to_owned()));
    }
    rig.end("completed").await;
    assert!(rig.began.try_recv().is_err());
    assert!(rig.tools().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_after_the_end_of_the_turn_is_refused() {
    let mut rig = Rig::begin(Stack::Timed).await;
    rig.end("completed").await;
    rig.call(5, "c1", json!({"number": 7})).await;
    assert_eq!(rig.answer().await, (json!(5), false, NOT_NOW.to_owned()));
    assert!(rig.tools().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_hundred_calls_at_once_are_all_answered_once() {
    let mut rig = Rig::begin(Stack::Timed).await;
    for number in 0..200 {
        rig.call(number, &format!("c{number}"), json!({"number": number}))
            .await;
    }
    let mut answered = Vec::new();
    for _ in 0..200 {
        let (id, is_success, text) = rig.answer().await;
        let id = id.as_u64().unwrap();
        assert_eq!(text == id.to_string(), is_success, "{text}");
        assert!(is_success || text == NOT_NOW, "{text}");
        answered.push(id);
    }
    assert!(rig.peer.is_quiet().await);
    answered.sort_unstable();
    assert_eq!(answered, (0..200).collect::<Vec<_>>());
    rig.end("completed").await;
    rig.tools().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_hundred_calls_that_wait_64_run_64_wait_for_them_and_the_rest_is_refused() {
    let mut rig = Rig::begin(Stack::Timed).await;
    // Until all of the first run, so that the places of those that wait are all free.
    for number in 0..64 {
        rig.call(
            number,
            &format!("c{number}"),
            json!({"number": number, "wait": true}),
        )
        .await;
        assert_eq!(rig.began.recv().await, Some(number));
    }
    for number in 64..200 {
        rig.call(
            number,
            &format!("c{number}"),
            json!({"number": number, "wait": true}),
        )
        .await;
    }
    for number in 128..200 {
        let answer = rig.answer().await;
        assert_eq!(answer, (json!(number), false, NOT_NOW.to_owned()));
    }
    assert!(rig.peer.is_quiet().await);
    assert_eq!(rig.active.load(Relaxed), 64);
    rig.gate.add_permits(128);
    let mut answered = Vec::new();
    for _ in 0..128 {
        let (id, is_success, _) = rig.answer().await;
        assert!(is_success);
        answered.push(id.as_u64().unwrap());
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..128).collect::<Vec<_>>());
    rig.end("completed").await;
    assert_eq!(rig.tools().await.len(), 128);
}

#[tokio::test(start_paused = true)]
async fn a_call_answers_while_an_earlier_one_hangs() {
    let mut rig = Rig::begin(Stack::Timed).await;
    for (number, wait) in [(0, true), (1, false), (2, false)] {
        let arguments = json!({"number": number, "wait": wait});
        rig.call(number, &format!("c{number}"), arguments).await;
    }
    assert_eq!(rig.answer().await.0, 1);
    assert_eq!(rig.answer().await.0, 2);
    assert!(rig.peer.is_quiet().await);
    rig.gate.add_permits(1);
    assert_eq!(rig.answer().await.0, 0);
    rig.end("completed").await;
    assert_eq!(rig.tools().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_late_is_answered_and_its_item_makes_no_second_event() {
    let mut rig = Rig::begin(Stack::Timed).await;
    rig.item("started", "c1", "inProgress").await;
    rig.call(0, "c1", json!({"number": 7, "wait": true})).await;
    let (_, is_success, text) = rig.answer().await;
    let late = "tool `t` did not finish in time: continue without it, or ask it for less";
    assert_eq!((is_success, &*text), (false, late));
    rig.item("completed", "c1", "failed").await;
    rig.end("completed").await;
    let [tool] = &rig.tools().await[..] else {
        panic!("not one event")
    };
    assert_eq!(tool.outcome(), Some(Outcome::Error));
    assert_eq!(tool.error_class(), Some(ErrorClass::Timeout));
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_ends_drops_its_calls_and_answers_none() {
    for status in ["completed", "interrupted"] {
        for stack in [Stack::Timed, Stack::Bare] {
            let mut rig = Rig::begin(stack).await;
            for number in 0..3 {
                let call_id = format!("c{number}");
                rig.item("started", &call_id, "inProgress").await;
                rig.call(number, &call_id, json!({"number": number, "wait": true}))
                    .await;
                assert_eq!(rig.began.recv().await, Some(number));
            }
            rig.end(status).await;
            settle().await;
            assert_eq!(rig.active.load(Relaxed), 0);
            rig.gate.add_permits(3);
            assert!(rig.peer.is_quiet().await);
            let tools = rig.tools().await;
            assert_eq!(tools.len(), 3);
            let expected = match (stack, status) {
                (Stack::Bare, "completed") => (Outcome::Error, Some(ErrorClass::Incomplete)),
                (Stack::Bare, _) => (Outcome::Error, Some(ErrorClass::Interrupted)),
                _ => (Outcome::Cancelled, Some(ErrorClass::Cancelled)),
            };
            for tool in tools {
                assert_eq!((tool.outcome().unwrap(), tool.error_class()), expected);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_dropped_drops_its_calls_first() {
    let mut rig = Rig::begin(Stack::Timed).await;
    rig.call(0, "c1", json!({"number": 7, "wait": true})).await;
    rig.began.recv().await.unwrap();
    rig.turn.abort();
    rig.peer.reads_interrupt(A).await;
    assert_eq!(rig.active.load(Relaxed), 0);
    rig.gate.add_permits(1);
    assert!(rig.peer.is_quiet().await);
    let ends: Vec<_> = rig
        .sink
        .events()
        .into_iter()
        .filter(|event| event.kind().is_terminal())
        .collect();
    let [tool, turn] = &ends[..] else {
        panic!("{ends:?}")
    };
    assert_eq!(
        (tool.operation(), turn.operation()),
        (Operation::Tool, Operation::Turn)
    );
}

/// By an interrupt Codex ends the items of the calls, and some milliseconds later the turn.
#[tokio::test(start_paused = true)]
async fn an_item_that_ends_before_its_tool_has_answered_cancels_the_tool() {
    for stack in [Stack::Timed, Stack::Bare] {
        let mut rig = Rig::begin(stack).await;
        rig.item("started", "c1", "inProgress").await;
        rig.call(0, "c1", json!({"number": 7, "wait": true})).await;
        rig.began.recv().await.unwrap();
        rig.item("completed", "c1", "failed").await;
        assert_eq!(rig.answer().await, (json!(0), false, NOT_NOW.to_owned()));
        assert_eq!(rig.active.load(Relaxed), 0);
        rig.end("interrupted").await;
        let [tool] = &rig.tools().await[..] else {
            panic!("not one event")
        };
        let expected = match stack {
            Stack::Bare => ErrorClass::Interrupted,
            _ => ErrorClass::Cancelled,
        };
        assert_eq!(tool.error_class(), Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_stack_when_its_item_ends_has_one_event_and_does_not_run() {
    let mut rig = Rig::begin(Stack::Limited).await;
    for number in 0..2 {
        let call_id = format!("c{number}");
        rig.item("started", &call_id, "inProgress").await;
        rig.call(number, &call_id, json!({"number": number, "wait": true}))
            .await;
    }
    assert_eq!(rig.began.recv().await, Some(0));
    settle().await;
    // The first one makes room for the second one, which has ended by then.
    rig.item("completed", "c1", "failed").await;
    rig.item("completed", "c0", "failed").await;
    for _ in 0..2 {
        assert!(!rig.answer().await.1);
    }
    rig.end("interrupted").await;
    assert!(rig.began.try_recv().is_err());
    assert_eq!(rig.tools().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_stack_when_the_turn_ends_has_one_event_and_does_not_run() {
    // Whichever the turn's future looks at first.
    for _ in 0..50 {
        let mut rig = Rig::begin(Stack::Limited).await;
        for number in 0..2 {
            let call_id = format!("c{number}");
            rig.item("started", &call_id, "inProgress").await;
            rig.call(number, &call_id, json!({"number": number, "wait": true}))
                .await;
        }
        assert_eq!(rig.began.recv().await, Some(0));
        settle().await;
        // The turn's future learns of the end and of the answer at once.
        rig.end("interrupted").await;
        rig.gate.add_permits(1);
        settle().await;
        assert!(rig.began.try_recv().is_err());
        assert_eq!(rig.tools().await.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_place_when_its_item_ends_does_not_run() {
    let mut rig = Rig::begin(Stack::Timed).await;
    for number in 0..65 {
        let call_id = format!("c{number}");
        rig.item("started", &call_id, "inProgress").await;
        rig.call(number, &call_id, json!({"number": number, "wait": true}))
            .await;
    }
    for number in 0..64 {
        assert_eq!(rig.began.recv().await, Some(number));
    }
    for number in 0..65 {
        rig.item("completed", &format!("c{number}"), "failed").await;
    }
    for _ in 0..65 {
        assert!(!rig.answer().await.1);
    }
    rig.end("interrupted").await;
    assert!(rig.began.try_recv().is_err());
    assert_eq!(rig.tools().await.len(), 65);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_be_read_is_refused_at_once_by_the_id_that_it_has() {
    let mut rig = Rig::begin(Stack::Timed).await;
    let whole = json!({
        "threadId": A, "turnId": "1", "callId": "c1", "namespace": null, "tool": "t", "arguments": {},
    });
    for (id, key) in [
        (json!(-1), "callId"),
        (json!("a"), "tool"),
        (json!(u64::MAX), "tool"),
        (json!(1.5), "threadId"),
    ] {
        for other in [None, Some(json!(null)), Some(json!({}))] {
            let mut params = whole.clone();
            match other {
                Some(other) => params[key] = other,
                None => drop(params.as_object_mut().unwrap().remove(key)),
            }
            let answer = rig.peer.ask(id.clone(), "item/tool/call", params).await;
            assert_eq!(answer["id"], id);
            assert_eq!(answer["result"]["success"], false, "{key}");
        }
    }
    let answer = rig.peer.ask(1, "item/tool/call", json!(["t"])).await;
    assert_eq!(answer["result"]["success"], false);
    assert!(rig.began.try_recv().is_err());
    rig.end("completed").await;
    assert!(rig.tools().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn arguments_that_are_no_object_or_are_missing_are_for_the_tool_to_refuse() {
    let mut rig = Rig::begin(Stack::Timed).await;
    let of_call = format!(r#""threadId":"{A}","turnId":"1","callId":"c1","tool":"t""#);
    for arguments in ["[1]", r#""s""#, "false", "null"] {
        let line = format!(
            r#"{{"id":0,"method":"item/tool/call","params":{{{of_call},"arguments":{arguments}}}}}"#
        );
        rig.peer.write_text(&line).await;
        let (_, is_success, text) = rig.answer().await;
        assert_eq!(
            (is_success, &*text),
            (false, "tool `t` is disabled: continue without it")
        );
    }
    let line = format!(r#"{{"id":0,"method":"item/tool/call","params":{{{of_call}}}}}"#);
    rig.peer.write_text(&line).await;
    assert!(!rig.answer().await.1);
    rig.end("completed").await;
    assert_eq!(rig.tools().await.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn arguments_that_are_deeper_than_json_is_read_are_refused() {
    let mut rig = Rig::begin(Stack::Timed).await;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let line = format!(
        r#"{{"id":0,"method":"item/tool/call","params":{{"threadId":"{A}","turnId":"1","callId":"c1","tool":"t","arguments":{deep}}}}}"#
    );
    rig.peer.write_text(&line).await;
    let (_, is_success, text) = rig.answer().await;
    assert_eq!(
        (is_success, &*text),
        (false, "the call cannot be read: call it in another way")
    );
    rig.end("completed").await;
    assert!(rig.tools().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_tool_is_refused_with_the_names_of_the_known_ones_and_is_one_event() {
    let mut rig = Rig::begin(Stack::Timed).await;
    let params = json!({
        "threadId": A, "turnId": "1", "callId": "c1", "namespace": "old", "tool": "t", "arguments": {},
    });
    let answer = rig.peer.ask(0, "item/tool/call", params).await;
    let text = &answer["result"]["contentItems"][0]["text"];
    assert_eq!(text, "unknown tool `old.t`: use one of `t`");
    rig.end("completed").await;
    let _ = rig.turn.await.unwrap().unwrap();
    let events = rig.sink.events();
    let tool = events
        .iter()
        .find(|event| event.operation() == Operation::Tool && event.kind().is_terminal());
    assert_eq!(tool.unwrap().call_name(), Some("old.t"));
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_was_called_without_an_item_has_the_event_of_its_stack_or_none() {
    for (stack, count) in [(Stack::Timed, 1), (Stack::Bare, 0)] {
        let mut rig = Rig::begin(stack).await;
        rig.call(0, "c1", json!({"number": 7})).await;
        assert!(rig.answer().await.1);
        rig.end("completed").await;
        assert_eq!(rig.tools().await.len(), count);
    }
}

/// The items of a sub-agent are of no turn of the program.
#[tokio::test(start_paused = true)]
async fn calls_without_items_are_answered_however_many_there_are() {
    let mut rig = Rig::begin(Stack::Timed).await;
    for number in 0..1100 {
        rig.call(number, &format!("c{number}"), json!({"number": number}))
            .await;
        assert!(rig.answer().await.1, "{number}");
    }
    // There is room for items as well.
    rig.item("started", "c1099", "inProgress").await;
    rig.item("completed", "c1099", "completed").await;
    rig.end("completed").await;
    assert_eq!(rig.tools().await.len(), 1100);
}

#[tokio::test(start_paused = true)]
async fn questions_are_answered_while_a_tool_hangs() {
    let mut rig = Rig::begin(Stack::Timed).await;
    rig.call(0, "c1", json!({"number": 7, "wait": true})).await;
    rig.began.recv().await.unwrap();
    let params = json!({"threadId": A, "turnId": "1", "itemId": "x", "command": "ls"});
    let method = "item/commandExecution/requestApproval";
    let answer = rig.peer.ask(1, method, params).await;
    assert_eq!(answer["result"]["decision"], "accept");
    rig.gate.add_permits(1);
    assert!(rig.answer().await.1);
    rig.end("completed").await;
    assert_eq!(rig.tools().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_ids_of_a_call_are_those_of_its_turn() {
    let mut rig = Rig::begin(Stack::Timed).await;
    rig.call(0, "c1", json!({"number": 7})).await;
    assert!(rig.answer().await.1);
    tokio::time::sleep(Duration::from_millis(1)).await;
    rig.end("completed").await;
    let [tool] = &rig.tools().await[..] else {
        panic!("not one event")
    };
    assert_eq!(tool.thread_id(), Some(A));
    assert_eq!(tool.turn_id(), Some("1"));
    assert_eq!(tool.call_id(), Some("c1"));
    assert_eq!(tool.attribute(names::TOOL_TYPE), Some(&"function".into()));
}
