//! The phases of a turn are those of the intervals of all that goes on in it, in whatever order Codex prints it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::json;
use tokio::sync::oneshot;

use super::{super::run::FreezeWhenDropped, *};
use crate::{
    approval::{Action, ApprovalRequest, Decision},
    event::{Clock, ManualClock, PhaseClock},
    tool::{ApprovalLayer, ToolCall, ToolError, ToolOutput, ToolService, ToolSpec},
    turn::{
        Turn, TurnFuture,
        phase_oracle::{Sign, Story},
    },
};

/// What happens in a turn.
#[derive(Clone, Debug)]
enum Act {
    /// A line about an item: its stage, kind, and id.
    Item(&'static str, &'static str, &'static str),
    /// Codex says that the turn has started.
    Start,
    /// A tool of the program is called over MCP, and asks the approver.
    Ask,
    /// The approver answers one of the questions that are open.
    Answer(prop::sample::Index, Decision),
    Retry,
    /// Some other line.
    Other(&'static str),
}

/// How a turn ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Completed,
    Failed,
    /// The process exits, and has told no end.
    Exited,
    /// Codex writes what is no line of it.
    Garbage,
}

#[derive(Clone, Debug)]
struct Script {
    /// The milliseconds before the service is called, and before the process is started.
    before: [u64; 2],
    /// With the milliseconds before each.
    acts: Vec<(u64, Act)>,
    end: End,
    /// The milliseconds before the end, between it and the exit of the process, and between that and the end of the call.
    around_end: [u64; 3],
    dropped: Dropped,
}

/// When a turn is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Dropped {
    Never,
    BeforeEnd,
    /// While its process exits.
    BeforeExit,
    /// When the service has returned, and its call goes on.
    AfterExit,
}

fn millis() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 3 => 1..50_u64]
}

fn act() -> impl Strategy<Value = Act> {
    let stages = ["started", "updated", "completed"];
    let kinds = [
        "agent_message",
        "reasoning",
        "command_execution",
        "file_change",
        "mcp_tool_call",
        "collab_tool_call",
        "web_search",
        "todo_list",
        "error",
        "hologram",
    ];
    let decisions = [Decision::Accept, Decision::decline("no"), Decision::Cancel];
    let others = ["thread.started", "turn.paused"];
    prop_oneof![
        8 => (select(stages.to_vec()), select(kinds.to_vec()), select(&["i", "j"][..]))
            .prop_map(|(stage, kind, id)| Act::Item(stage, kind, id)),
        2 => Just(Act::Start),
        2 => Just(Act::Ask),
        3 => (any::<prop::sample::Index>(), select(decisions.to_vec()))
            .prop_map(|(which, decision)| Act::Answer(which, decision)),
        2 => Just(Act::Retry),
        1 => select(others.to_vec()).prop_map(Act::Other),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    let ends = [End::Completed, End::Failed, End::Exited, End::Garbage];
    let dropped = [
        Dropped::Never,
        Dropped::BeforeEnd,
        Dropped::BeforeExit,
        Dropped::AfterExit,
    ];
    (
        [millis(), millis()],
        vec((millis(), act()), 0..24),
        select(ends.to_vec()),
        [millis(), millis(), millis()],
        select(dropped.to_vec()),
    )
        .prop_map(|(before, acts, end, around_end, dropped)| Script {
            before,
            acts,
            end,
            around_end,
            dropped,
        })
}

/// The time of a turn, and what was told of it by then.
struct Told {
    hand: ManualClock,
    now: u64,
    story: Story,
}

impl Told {
    fn pass(&mut self, millis: u64) {
        self.hand.advance(Duration::from_millis(millis));
        self.now += millis;
    }

    fn sign(&mut self, sign: Sign) {
        self.story.signs.push((self.now, sign));
    }
}

type Calling = Pin<Box<dyn Future<Output = Result<ToolOutput, ToolError>> + Send>>;

/// A tool of the program that asks an approver, as the model calls it over MCP.
#[derive(Clone)]
struct HostTool {
    timing: TimingLayer,
    asked: Arc<Mutex<HashMap<usize, oneshot::Sender<Decision>>>>,
}

impl HostTool {
    /// Returns a call of it that asks.
    fn call(&self, turn: &CallContext, number: usize) -> Calling {
        let asked = Arc::clone(&self.asked);
        let approver = service_fn(move |request: ApprovalRequest| {
            let Action::ToolCall { arguments } = request.action else {
                panic!("it asks about no tool")
            };
            let number = usize::try_from(arguments.as_u64().unwrap()).unwrap();
            let (decide, decided) = oneshot::channel();
            asked.lock().unwrap().insert(number, decide);
            async { Ok::<_, Infallible>(decided.await.expect("it is answered")) }
        });
        let tool =
            service_fn(async |call: ToolCall| Ok::<_, ToolError>(ToolOutput::new(call.arguments)));
        let registry = ToolService::builder().tool(ToolSpec::new("t", "A tool"), tool);
        let asking = ApprovalLayer::new(approver, Duration::from_secs(60));
        let stack = self.timing.layer(asking.layer(registry.build().unwrap()));
        let (context, ticket) = turn.with_ticket_of_child(Vec::new());
        let call = ToolCall::new("t", json!(number)).with_context(context);
        let mut calling: Calling = Box::pin(async move {
            // The server keeps it while the call runs.
            let _ticket = ticket;
            tower::ServiceExt::oneshot(stack, call).await
        });
        assert!(poll(&mut calling).is_none(), "it asks");
        calling
    }

    fn answer(&self, number: usize, decision: Decision) {
        let decide = self.asked.lock().unwrap().remove(&number);
        let decide = decide.expect("the approver is asked");
        decide.send(decision).expect("the answer is waited for");
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let polled = Pin::new(future).poll(&mut Context::from_waker(Waker::noop()));
    match polled {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Runs a turn as the service does, with the lines of a script.
async fn play(
    script: Script,
    request: TurnRequest,
    phases: Arc<PhaseClock>,
    told: Arc<Mutex<Told>>,
    tool: HostTool,
) -> Result<Turn, TurnError> {
    let tell = |line: serde_json::Value| line.to_string().into_bytes();
    let pass = |millis| told.lock().unwrap().pass(millis);
    let sign = |sign| told.lock().unwrap().sign(sign);
    let mut state = TurnState::new(&request, None, None, &phases);
    pass(script.before[1]);
    phases.starting_up();
    sign(Sign::Startup);
    let (mut tools, mut calls, mut asked) = (Vec::new(), Vec::new(), 0);
    let _freeze = FreezeWhenDropped(&phases);
    for (before, act) in script.acts {
        pass(before);
        match act {
            Act::Item(stage, kind, id) => {
                // Each kind has ids of its own.
                let id = format!("{kind}-{id}");
                let item = json!({"type": kind, "id": id});
                let line = json!({"type": format!("item.{stage}"), "item": item});
                state.apply(&tell(line))?;
                sign(Sign::Started);
                let is_open = tools.contains(&id);
                sign(match kind {
                    "agent_message" | "reasoning" => Sign::Text,
                    "todo_list" | "error" | "hologram" => Sign::Noise,
                    _ if stage != "completed" && is_open => Sign::Noise,
                    _ if stage != "completed" => {
                        tools.push(id.clone());
                        Sign::ToolStarted(id)
                    }
                    _ if is_open => {
                        tools.retain(|open| *open != id);
                        Sign::ToolEnded(id)
                    }
                    _ => Sign::ToolWhole,
                });
            }
            Act::Start => {
                state.apply(&tell(json!({"type": "turn.started"})))?;
                sign(Sign::Started);
            }
            Act::Ask => {
                calls.push((asked, tool.call(request.context(), asked)));
                sign(Sign::Asked(asked));
                asked += 1;
            }
            Act::Answer(which, decision) => {
                if calls.is_empty() {
                    continue;
                }
                let (number, mut call) = calls.swap_remove(which.index(calls.len()));
                tool.answer(number, decision);
                assert!(poll(&mut call).is_some());
                sign(Sign::Answered(number));
            }
            Act::Retry => {
                let message = "Reconnecting... 1/5";
                state.apply(&tell(json!({"type": "error", "message": message})))?;
                sign(Sign::Retries);
            }
            Act::Other(kind) => {
                state.apply(&tell(json!({"type": kind, "thread_id": "thread"})))?;
                sign(Sign::Noise);
            }
        }
    }
    pass(script.around_end[0]);
    {
        let mut told = told.lock().unwrap();
        told.story.ended = told.now;
    }
    if script.dropped == Dropped::BeforeEnd {
        return std::future::pending().await;
    }
    match script.end {
        End::Completed => {
            state.apply(&tell(json!({"type": "turn.completed"})))?;
            told.lock().unwrap().story.is_completed = true;
        }
        End::Failed => {
            let error = json!({"message": "no"});
            state.apply(&tell(json!({"type": "turn.failed", "error": error})))?;
        }
        End::Garbage => {
            return state
                .apply(b"garbage")
                .map(|_| unreachable!("it is rejected"));
        }
        End::Exited => {}
    }
    if state.has_ended() {
        calls.clear();
        pass(script.around_end[1]);
        if script.dropped == Dropped::BeforeExit {
            return std::future::pending().await;
        }
    }
    state.finish(Ok(ExitStatus::default()))
}

/// Runs a turn, and checks its phases.
fn check(script: &Script) {
    let sink = MemorySink::new();
    let (clock, hand) = Clock::manual(UNIX_EPOCH);
    let told = Told {
        hand,
        now: 0,
        story: Story::default(),
    };
    let told = Arc::new(Mutex::new(told));
    let timing = TimingLayer::with_clock(sink.clone(), clock);
    let tool = HostTool {
        timing: timing.clone(),
        asked: Arc::default(),
    };
    let returned = Arc::new(Mutex::new(None));
    let inner = {
        let (script, told) = (script.clone(), Arc::clone(&told));
        let returned = Arc::clone(&returned);
        service_fn(move |request: TurnRequest| {
            let (script, told) = (script.clone(), Arc::clone(&told));
            let (tool, returned) = (tool.clone(), Arc::clone(&returned));
            async move {
                told.lock().unwrap().pass(script.before[0]);
                let phases = request.context().begin_phases();
                let (after, dropped) = (script.around_end[2], script.dropped);
                let playing = play(
                    script,
                    request,
                    Arc::clone(&phases),
                    Arc::clone(&told),
                    tool,
                );
                let result = TurnFuture::new(phases, playing).await;
                if let Ok(turn) = &result {
                    let now = told.lock().unwrap().now;
                    *returned.lock().unwrap() = Some((turn.phases.clone(), now));
                }
                told.lock().unwrap().pass(after);
                if dropped == Dropped::AfterExit {
                    return std::future::pending().await;
                }
                result
            }
        })
    };
    let mut service = timing.layer(inner);
    let mut turn = Box::pin(service.call(TurnRequest::new("a prompt")));
    let _ = poll(&mut turn);
    drop(turn);

    let mut told = told.lock().unwrap();
    told.story.call_ended = told.now;
    let ends = sink.events().into_iter();
    let mut turns =
        ends.filter(|event| event.kind().is_terminal() && event.operation() == Operation::Turn);
    let turn = turns.next().expect("the turn has ended");
    told.story.check_event(&turn, false);
    if let Some((phases, at)) = returned.lock().unwrap().take() {
        told.story.check_result(&phases, at, false);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_phases_of_a_turn_are_those_of_the_intervals_of_what_goes_on_in_it(script in script()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let _entered = runtime.enter();
        check(&script);
    }
}
