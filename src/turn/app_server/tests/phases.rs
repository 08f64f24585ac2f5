//! Where the time of a turn goes, and what a turn that did not complete waited for.

use std::{
    convert::Infallible,
    future::pending,
    process::ExitStatus,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tower::{
    BoxError, Layer, ServiceBuilder, ServiceExt, service_fn, timeout::TimeoutLayer,
    util::BoxCloneSyncService,
};

use super::{A, B, MINUTE, complete, prompt, settle};
use crate::{
    approval::{ApprovalRequest, Decision},
    event::{
        Classification, Clock, ErrorClass, Event, ManualClock, Operation, Phase, Phases, names,
    },
    retry::RetryPolicy,
    sink::MemorySink,
    timing::TimingLayer,
    tool::{ApprovalLayer, HostTools, ToolCall, ToolError, ToolOutput, ToolService, ToolSpec},
    turn::{
        Turn, TurnError, TurnRequest,
        app_server::{
            CodexAppServer,
            peer::{Options, Peer},
        },
    },
};

const COMMAND: &str = "item/commandExecution/requestApproval";

type ToolStack = BoxCloneSyncService<ToolCall, ToolOutput, ToolError>;

/// A service whose calls have a manual clock. Its approver never answers, or when it is told to.
struct Rig {
    peer: Peer,
    sink: MemorySink,
    hand: ManualClock,
    timing: TimingLayer,
    turns: CodexAppServer,
    /// Has the question that was asked last accepted.
    accept: Arc<Mutex<Option<oneshot::Sender<()>>>>,
}

impl Rig {
    fn new() -> Self {
        Self::with_tools(|timing, asking| ToolStack::new(timing.layer(asking)))
    }

    /// Returns a rig with a tool of the program, `t`, whose stack is made of layers around the one that asks.
    fn with_tools(stack: impl FnOnce(&TimingLayer, ToolStack) -> ToolStack) -> Self {
        let peer = Peer::connect(&Options::default());
        let sink = MemorySink::new();
        let (clock, hand) = Clock::manual(UNIX_EPOCH);
        let timing = TimingLayer::with_clock(sink.clone(), clock);
        let accept = Arc::new(Mutex::new(None));
        let approver = {
            let accept = Arc::clone(&accept);
            service_fn(move |_: ApprovalRequest| {
                let (yes, accepted) = oneshot::channel();
                *accept.lock().unwrap() = Some(yes);
                async {
                    match accepted.await {
                        Ok(()) => Ok::<_, Infallible>(Decision::Accept),
                        Err(_) => pending().await,
                    }
                }
            })
        };
        let tool =
            service_fn(async |call: ToolCall| Ok::<_, ToolError>(ToolOutput::new(call.arguments)));
        let registry = ToolService::builder().tool(ToolSpec::new("t", "A tool"), tool);
        let registry = registry.build().unwrap();
        let asking = ApprovalLayer::new(approver.clone(), MINUTE).layer(registry.clone());
        let stack = stack(&timing, ToolStack::new(asking));
        let turns = CodexAppServer::builder()
            .codex("/no/such/codex")
            .approver(approver, MINUTE)
            .tools(HostTools::new(&registry, stack, MINUTE))
            .build()
            .with_server(peer.server());
        Self {
            peer,
            sink,
            hand,
            timing,
            turns,
            accept,
        }
    }

    fn run(&self, request: TurnRequest) -> JoinHandle<Result<Turn, TurnError>> {
        tokio::spawn(self.timing.layer(self.turns.clone()).oneshot(request))
    }

    /// Runs a turn that Codex has started at once.
    async fn begin(&mut self) -> JoinHandle<Result<Turn, TurnError>> {
        let turn = self.run(prompt());
        self.peer.begin(A, "1").await;
        turn
    }

    /// Lets some seconds pass.
    async fn pass(&self, seconds: u64) {
        settle().await;
        self.hand.advance(Duration::from_secs(seconds));
    }

    async fn tell(&mut self, method: &str, fields: Value) {
        self.peer.tell(method, A, "1", fields).await;
    }

    async fn item(&mut self, stage: &str, kind: &str, id: &str) {
        let item = json!({"type": kind, "id": id, "command": "make", "tool": "t", "arguments": {}});
        self.tell(&format!("item/{stage}"), json!({"item": item}))
            .await;
    }

    /// Asks the approver about a command.
    async fn ask(&mut self) {
        let params = json!({"threadId": A, "turnId": "1", "itemId": "c", "command": "make"});
        self.peer.put(7, COMMAND, params).await;
    }

    /// Has the program's tool called, which asks the approver.
    async fn call(&mut self) {
        self.item("started", "dynamicToolCall", "t").await;
        let call =
            json!({"threadId": A, "turnId": "1", "callId": "t", "tool": "t", "arguments": {}});
        self.peer.put(7, "item/tool/call", call).await;
    }

    fn accept(&self) {
        let yes = self.accept.lock().unwrap().take();
        yes.expect("the approver is asked").send(()).unwrap();
    }

    async fn end(&mut self, status: &str) {
        self.peer.end(A, "1", status).await;
    }

    /// Returns the terminal events of turns, in the order of their ends.
    fn turns(&self) -> Vec<Event> {
        let mut events = self.sink.events();
        events.retain(|event| event.kind().is_terminal() && event.operation() == Operation::Turn);
        events
    }

    /// Returns the seconds of the phases of the only turn, and what it says it waited for.
    fn turn(&self) -> (Vec<(Phase, u64)>, Option<String>) {
        let [turn] = &self.turns()[..] else {
            panic!("not one turn")
        };
        (seconds(turn), phase(turn))
    }
}

/// Returns the phases that took time, in the order of [`Phase::ALL`]. They add up to the duration.
fn seconds(event: &Event) -> Vec<(Phase, u64)> {
    let phases = event.phases().expect("it is a turn");
    assert_eq!(Some(phases.total()), event.duration());
    seconds_of(phases)
}

fn seconds_of(phases: &Phases) -> Vec<(Phase, u64)> {
    let times = phases.iter().map(|(phase, time)| (phase, time.as_secs()));
    times.filter(|(_, seconds)| *seconds > 0).collect()
}

/// Returns the attribute that says in which phase a turn ended.
fn phase(event: &Event) -> Option<String> {
    let phase = event.attribute(names::PHASE)?;
    Some(phase.as_str().into_owned())
}

async fn cancel<E: std::fmt::Debug>(turn: JoinHandle<Result<Turn, E>>) {
    settle().await;
    turn.abort();
    assert!(turn.await.unwrap_err().is_cancelled());
}

fn waited_for(phase: Phase) -> Option<String> {
    Some(phase.as_str().to_owned())
}

// --- What a turn waited for that did not complete

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_cancelled_while_it_waits_for_an_approval_says_so() {
    let mut rig = Rig::new();
    let turn = rig.begin().await;
    rig.pass(1).await;
    rig.item("started", "commandExecution", "c").await;
    rig.ask().await;
    rig.pass(2).await;
    cancel(turn).await;
    let expected = vec![(Phase::Model, 1), (Phase::Approval, 2)];
    assert_eq!(rig.turn(), (expected, waited_for(Phase::Approval)));
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_cancelled_while_its_own_tool_waits_for_an_approval_says_so() {
    let mut rig = Rig::new();
    let turn = rig.begin().await;
    rig.pass(1).await;
    rig.call().await;
    rig.pass(2).await;
    cancel(turn).await;
    let expected = vec![(Phase::Model, 1), (Phase::Approval, 2)];
    assert_eq!(rig.turn(), (expected, waited_for(Phase::Approval)));
}

#[tokio::test(start_paused = true)]
async fn a_turn_tells_the_approvals_of_its_own_tools_wherever_their_stack_asks() {
    let none = |_: &TimingLayer, asking: ToolStack| asking;
    let within = |timing: &TimingLayer, asking: ToolStack| ToolStack::new(timing.layer(asking));
    let attempts = |timing: &TimingLayer, asking: ToolStack| {
        let attempt = timing.layer(asking);
        ToolStack::new(timing.layer(attempt))
    };
    let around = |timing: &TimingLayer, asking: ToolStack| {
        // Asks itself, before the call that the one within asks in has begun.
        let approver =
            service_fn(|_: ApprovalRequest| async { pending::<Result<_, Infallible>>().await });
        let asks = ApprovalLayer::new(approver, MINUTE);
        ToolStack::new(asks.layer(timing.layer(asking)))
    };
    type Stack = fn(&TimingLayer, ToolStack) -> ToolStack;
    let stacks: [(&str, Stack); 4] = [
        ("no call", none),
        ("a call", within),
        ("attempts", attempts),
        ("around the call", around),
    ];
    for (name, stack) in stacks {
        let mut rig = Rig::with_tools(stack);
        let turn = rig.begin().await;
        rig.call().await;
        rig.pass(1).await;
        cancel(turn).await;
        let expected = (vec![(Phase::Approval, 1)], waited_for(Phase::Approval));
        assert_eq!(rig.turn(), expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_fails_while_it_waits_for_an_approval_says_so_whoever_ends_it() {
    for is_own_tool in [true, false] {
        for status in ["failed", "interrupted", "exit"] {
            let mut rig = Rig::new();
            let turn = rig.begin().await;
            if is_own_tool {
                rig.call().await;
            } else {
                rig.ask().await;
            }
            rig.pass(1).await;
            if status == "exit" {
                rig.peer.exit(ExitStatus::default());
            } else {
                rig.end(status).await;
            }
            turn.await.unwrap().unwrap_err();
            let expected = (vec![(Phase::Approval, 1)], waited_for(Phase::Approval));
            assert_eq!(rig.turn(), expected, "{status}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_times_out_in_a_tool_says_tools() {
    let mut rig = Rig::new();
    let service = ServiceBuilder::new()
        .layer(rig.timing.clone())
        .layer(TimeoutLayer::new(10 * MINUTE))
        .service(rig.turns.clone());
    let turn = tokio::spawn(service.oneshot(prompt()));
    rig.peer.begin(A, "1").await;
    rig.item("started", "commandExecution", "c").await;
    rig.pass(600).await;
    tokio::time::advance(10 * MINUTE).await;
    let error: BoxError = turn.await.unwrap().unwrap_err();
    assert!(error.is::<tower::timeout::error::Elapsed>(), "{error}");
    let expected = (vec![(Phase::Tools, 600)], waited_for(Phase::Tools));
    assert_eq!(rig.turn(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_attempt_has_timed_out_is_retry_in_the_pause_and_is_tried_again() {
    const PAUSE: Duration = MINUTE;
    for is_cancelled in [true, false] {
        let mut rig = Rig::new();
        let classify =
            |_: &BoxError| Classification::from(ErrorClass::Timeout).with_retry_after(Some(PAUSE));
        let policy = RetryPolicy::new()
            .classifier(classify)
            .retry_if(|_, class| class == ErrorClass::Timeout)
            .max_attempts(2)
            .max_retry_after(PAUSE)
            .backoff(Duration::ZERO, Duration::ZERO);
        // Each of the calls around the attempts.
        let service = ServiceBuilder::new()
            .layer(rig.timing.clone())
            .layer(rig.timing.clone())
            .retry(policy)
            .layer(TimeoutLayer::new(10 * MINUTE))
            .service(rig.turns.clone());
        let turn = tokio::spawn(service.oneshot(prompt()));
        rig.peer.request("thread/start").await;
        rig.pass(600).await;
        tokio::time::advance(10 * MINUTE).await;
        rig.pass(60).await;
        let active = rig.sink.events().swap_remove(0);
        assert_eq!(active.phase(), Some(Phase::Retry));
        let last = if is_cancelled {
            cancel(turn).await;
            Phase::Retry
        } else {
            // The server was given up, and there is no other one.
            tokio::time::advance(PAUSE).await;
            turn.await.unwrap().unwrap_err();
            Phase::Startup
        };
        let turns = rig.turns();
        assert_eq!(turns.len(), 2);
        for turn in turns {
            let expected = [(Phase::Startup, 600), (Phase::Retry, 60)];
            assert_eq!(seconds(&turn), expected);
            assert_eq!(phase(&turn), waited_for(last));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_fails_before_codex_has_started_it_says_startup() {
    let mut rig = Rig::new();
    let turn = rig.run(prompt());
    let load = rig.peer.request("thread/start").await;
    rig.pass(1).await;
    rig.peer.reject(&load, "no").await;
    turn.await.unwrap().unwrap_err();
    let expected = (vec![(Phase::Startup, 1)], waited_for(Phase::Startup));
    assert_eq!(rig.turn(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_start_is_not_answered_says_what_it_waited_for_meanwhile() {
    let mut rig = Rig::new();
    let turn = rig.run(prompt());
    let load = rig.peer.request("thread/start").await;
    rig.peer.answer(&load, json!({"thread": {"id": A}})).await;
    rig.peer.request("turn/start").await;
    rig.tell("turn/started", json!({})).await;
    rig.item("started", "commandExecution", "c").await;
    rig.ask().await;
    rig.pass(1).await;
    let error = turn.await.unwrap().unwrap_err();
    assert!(matches!(error, TurnError::Unanswered { .. }), "{error}");
    let expected = (vec![(Phase::Approval, 1)], waited_for(Phase::Approval));
    assert_eq!(rig.turn(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_server_cannot_be_started_says_startup() {
    let (rig, sink) = (Rig::new(), MemorySink::new());
    let turns = CodexAppServer::builder().codex("/no/such/codex").build();
    let turn = TimingLayer::new(sink.clone()).layer(turns);
    turn.oneshot(prompt()).await.unwrap_err();
    assert_eq!(phase(&sink.events()[1]), waited_for(Phase::Startup));
    drop(rig);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_cancelled_while_it_waits_for_its_thread_says_wait() {
    let mut rig = Rig::new();
    let first = rig.begin().await;
    let second = rig.run(prompt().with_resume(A));
    rig.pass(1).await;
    cancel(second).await;
    rig.end("completed").await;
    first.await.unwrap().unwrap();
    let [second, first] = &rig.turns()[..] else {
        panic!("not two turns")
    };
    assert_eq!(seconds(second), [(Phase::Wait, 1)]);
    assert_eq!(phase(second), waited_for(Phase::Wait));
    assert_eq!(seconds(first), [(Phase::Model, 1)]);
    assert_eq!(phase(first), None);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_fails_while_codex_tries_again_says_retry() {
    let mut rig = Rig::new();
    let turn = rig.begin().await;
    let error = json!({"willRetry": true, "error": {"message": "Reconnecting... 1/5"}});
    rig.tell("error", error).await;
    rig.pass(1).await;
    let error = json!({"willRetry": false, "error": {"message": "no"}});
    rig.tell("error", error).await;
    rig.end("failed").await;
    turn.await.unwrap().unwrap_err();
    let expected = (vec![(Phase::Retry, 1)], waited_for(Phase::Retry));
    assert_eq!(rig.turn(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_cancelled_before_its_service_has_it_says_wait() {
    let rig = Rig::new();
    let full = service_fn(|_: TurnRequest| pending::<Result<Turn, TurnError>>());
    let layered = rig.timing.layer(rig.timing.layer(full));
    let turn = tokio::spawn(layered.oneshot(prompt()));
    rig.pass(1).await;
    turn.abort();
    turn.await.unwrap_err();
    let turns = rig.turns();
    assert_eq!(turns.len(), 2, "both layers");
    for turn in &turns {
        assert_eq!(seconds(turn), [(Phase::Wait, 1)]);
        assert_eq!(phase(turn), waited_for(Phase::Wait));
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_another_service_completes_has_no_phases() {
    let rig = Rig::new();
    let other = service_fn(async |_: TurnRequest| Ok::<_, TurnError>(Turn::new()));
    rig.timing.layer(other).oneshot(prompt()).await.unwrap();
    assert_eq!(rig.turns()[0].phases(), None);
}

// --- Where the time goes

#[tokio::test(start_paused = true)]
async fn a_turn_waits_until_the_turn_before_it_in_its_thread_has_ended() {
    let mut rig = Rig::new();
    let first = rig.begin().await;
    let second = rig.run(prompt().with_resume(A));
    rig.pass(1).await;
    rig.end("completed").await;
    first.await.unwrap().unwrap();
    let start = rig.peer.request("turn/start").await;
    rig.pass(2).await;
    rig.peer.answer(&start, json!({"turn": {"id": "2"}})).await;
    rig.pass(4).await;
    rig.peer.tell("turn/started", A, "2", json!({})).await;
    // For servers of tools that start.
    rig.pass(8).await;
    let prompt = json!({"item": {"type": "userMessage", "id": "prompt"}});
    rig.peer.tell("item/completed", A, "2", prompt).await;
    rig.pass(16).await;
    rig.peer.end(A, "2", "completed").await;
    let turn = second.await.unwrap().unwrap();
    let expected = [(Phase::Wait, 1), (Phase::Startup, 14), (Phase::Model, 16)];
    assert_eq!(seconds(&rig.turns()[1]), expected);
    assert_eq!(seconds_of(&turn.phases), expected);
}

#[tokio::test(start_paused = true)]
async fn a_command_in_the_background_is_the_model_while_that_writes_and_tools_before_and_after() {
    let mut rig = Rig::new();
    let turn = rig.begin().await;
    rig.item("started", "commandExecution", "c").await;
    rig.pass(1).await;
    // The model begins to work, and nobody tells.
    rig.pass(2).await;
    rig.item("started", "agentMessage", "m").await;
    rig.pass(4).await;
    let delta = json!({"itemId": "m", "delta": "hello"});
    rig.tell("item/agentMessage/delta", delta).await;
    // The command prints, which is no sign of the model.
    let output = json!({"itemId": "c", "delta": "built"});
    rig.tell("item/commandExecution/outputDelta", output).await;
    rig.pass(8).await;
    rig.item("completed", "agentMessage", "m").await;
    rig.tell("rawResponse/completed", json!({"responseId": "r"}))
        .await;
    rig.pass(16).await;
    rig.item("completed", "commandExecution", "c").await;
    rig.pass(32).await;
    rig.end("completed").await;
    turn.await.unwrap().unwrap();
    let expected = vec![(Phase::Model, 44), (Phase::Tools, 19)];
    assert_eq!(rig.turn(), (expected, None));
}

#[tokio::test(start_paused = true)]
async fn tools_that_run_at_once_count_once() {
    let mut rig = Rig::new();
    let turn = rig.begin().await;
    rig.item("started", "commandExecution", "c").await;
    rig.pass(1).await;
    rig.item("started", "mcpToolCall", "m").await;
    rig.pass(2).await;
    rig.item("completed", "commandExecution", "c").await;
    rig.pass(4).await;
    rig.item("completed", "mcpToolCall", "m").await;
    rig.pass(8).await;
    rig.end("completed").await;
    turn.await.unwrap().unwrap();
    let expected = vec![(Phase::Model, 8), (Phase::Tools, 7)];
    assert_eq!(rig.turn(), (expected, None));
}

#[tokio::test(start_paused = true)]
async fn a_tool_is_tools_again_when_its_approval_is_given() {
    for is_own_tool in [true, false] {
        let mut rig = Rig::new();
        let turn = rig.begin().await;
        if is_own_tool {
            rig.call().await;
        } else {
            rig.item("started", "commandExecution", "t").await;
            rig.ask().await;
        }
        rig.pass(1).await;
        rig.accept();
        rig.peer.answered().await;
        rig.pass(2).await;
        let kind = if is_own_tool {
            "dynamicToolCall"
        } else {
            "commandExecution"
        };
        rig.item("completed", kind, "t").await;
        rig.pass(4).await;
        rig.end("completed").await;
        turn.await.unwrap().unwrap();
        let expected = vec![(Phase::Model, 4), (Phase::Tools, 2), (Phase::Approval, 1)];
        assert_eq!(rig.turn(), (expected, None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_answers_is_an_approval_until_its_deadline() {
    let mut rig = Rig::new();
    let turn = rig.begin().await;
    rig.item("started", "commandExecution", "c").await;
    rig.ask().await;
    rig.pass(60).await;
    tokio::time::advance(MINUTE).await;
    let answer = rig.peer.answered().await;
    assert_eq!(answer["result"]["decision"], "decline");
    rig.pass(1).await;
    rig.end("completed").await;
    turn.await.unwrap().unwrap();
    let expected = vec![(Phase::Tools, 1), (Phase::Approval, 60)];
    assert_eq!(rig.turn(), (expected, None));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_progress_is_other_after_the_end_of_the_turn() {
    let mut rig = Rig::new();
    let (progress, mut reader) = mpsc::channel(1);
    let turn = rig.run(prompt().with_progress(progress));
    rig.peer.begin(A, "1").await;
    rig.pass(1).await;
    rig.end("completed").await;
    rig.pass(2).await;
    while reader.recv().await.is_some() {}
    turn.await.unwrap().unwrap();
    let expected = vec![(Phase::Model, 1), (Phase::Other, 2)];
    assert_eq!(rig.turn(), (expected, None));
}

#[tokio::test(start_paused = true)]
async fn turns_at_once_have_phases_of_their_own() {
    let mut rig = Rig::new();
    let first = rig.begin().await;
    let second = rig.run(prompt());
    rig.peer.begin(B, "2").await;
    rig.item("started", "commandExecution", "c").await;
    rig.pass(1).await;
    rig.peer.end(B, "2", "completed").await;
    second.await.unwrap().unwrap();
    rig.end("completed").await;
    first.await.unwrap().unwrap();
    let all: Vec<_> = rig.turns().iter().map(seconds).collect();
    assert_eq!(all, [[(Phase::Model, 1)], [(Phase::Tools, 1)]]);
}

#[tokio::test(start_paused = true)]
async fn a_turn_without_a_call_has_its_phases() {
    let mut rig = Rig::new();
    let turn = tokio::spawn(rig.turns.clone().oneshot(prompt()));
    complete(&mut rig.peer, turn, A).await;
    let turn = tokio::spawn(rig.turns.clone().oneshot(prompt().with_resume(A)));
    rig.peer.begin_loaded(A, "2").await;
    rig.peer.end(A, "2", "completed").await;
    let phases = turn.await.unwrap().unwrap().phases;
    assert_eq!(phases.last(), Some(Phase::Other));
    assert_eq!(phases.get(Phase::Approval), Some(Duration::ZERO));
    assert_eq!(phases.iter().count(), Phase::ALL.len());
}
