//! The phases of a turn are those of the intervals of all that goes on in it, in whatever order its server tells it.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, UNIX_EPOCH},
};

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

use tower::ServiceBuilder;

use super::*;
use crate::{
    approval::Action,
    error::BoxError,
    event::{Classification, Clock, ErrorClass, ManualClock, Phases},
    retry::RetryPolicy,
    tool::ApprovalLayer,
    turn::{
        app_server::{peer::Peer, router::Limits},
        phase_oracle::{Sign, Story},
    },
};

const THREAD: &str = "a";
const TURN: &str = "turn-0";

/// The deadline of a question. All other deadlines are later.
const DEADLINE: Duration = Duration::from_secs(1000);
const NEVER: Duration = Duration::from_secs(10_000_000);

/// What a policy waits before it tries again.
const PAUSE: Duration = Duration::from_millis(PAUSE_MILLIS);
const PAUSE_MILLIS: u64 = 200;

/// What happens in a turn that has started.
#[derive(Clone, Debug)]
enum Act {
    /// A line about an item: its kind, its id, and whether it is its start.
    Item(&'static str, &'static str, bool),
    /// A part of a text, or of an output: its method.
    Delta(&'static str),
    /// Codex asks the approver.
    Ask,
    /// Codex calls a tool of the program, which asks the approver.
    HostCall(&'static str),
    /// Codex tells that a tool of the program has ended.
    HostEnd(&'static str),
    /// The approver answers one of the questions that are open.
    Answer(prop::sample::Index, Decision),
    /// The deadline of all questions passes.
    Expire,
    Retry,
    /// A response ends, with a usage or not.
    Response(bool),
    /// The usage of the thread is told, once more or not.
    Usage(bool),
    /// Something else: its method.
    Other(&'static str),
}

/// How a turn ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// Codex tells it, with this status. Before the turn, Codex refuses it.
    Told(&'static str),
    ServerExits,
    /// Its future is dropped.
    Dropped,
    /// Its future is dropped by a layer, which returns an error.
    TimedOut,
}

/// How far a turn comes.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Reach {
    /// Its last attempt is waited for, if there was one before. There it is dropped, however it should end.
    Pause,
    /// Its thread is being loaded.
    Load,
    /// It is being started.
    Start,
    /// Codex has taken it.
    Taken,
    Started,
}

#[derive(Clone, Debug)]
struct Script {
    /// The attempts before the one that is told of, whose threads Codex does not load.
    failures: Vec<Failure>,
    /// Whether each attempt is a call of its own.
    is_nested: bool,
    /// The milliseconds before the service is called, and before each thing that the turn reaches.
    before: [u64; 5],
    /// Whether Codex tells the prompt, by which it begins to ask the model.
    tells_prompt: bool,
    reach: Reach,
    /// With the milliseconds before each.
    acts: Vec<(u64, Act)>,
    end: End,
    /// The milliseconds before the end, and between it and the end of the call.
    before_end: u64,
    after_end: u64,
    /// Whether the call is dropped between the end of the turn and its own.
    is_dropped_late: bool,
}

/// An attempt that fails, by the milliseconds of its stages.
#[derive(Clone, Debug)]
struct Failure {
    before_call: u64,
    load: u64,
    after_end: u64,
}

fn millis() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 3 => 1..50_u64]
}

fn act() -> impl Strategy<Value = Act> {
    let kinds = [
        "agentMessage",
        "reasoning",
        "plan",
        "commandExecution",
        "fileChange",
        "mcpToolCall",
        "webSearch",
        "hologram",
    ];
    let ids = || select(&["i", "j", "k"][..]);
    let tools = || select(&["x", "y"][..]);
    let deltas = [
        "item/agentMessage/delta",
        "item/reasoning/textDelta",
        "item/commandExecution/outputDelta",
    ];
    let decisions = [
        Decision::Accept,
        Decision::AcceptForSession,
        Decision::decline("no"),
        Decision::Cancel,
    ];
    let others = ["turn/plan/updated", "warning", "hologram/shown"];
    prop_oneof![
        8 => (select(kinds.to_vec()), ids(), any::<bool>()).prop_map(|(kind, id, start)| Act::Item(kind, id, start)),
        3 => select(deltas.to_vec()).prop_map(Act::Delta),
        3 => Just(Act::Ask),
        2 => tools().prop_map(Act::HostCall),
        2 => tools().prop_map(Act::HostEnd),
        4 => (any::<prop::sample::Index>(), select(decisions.to_vec()))
            .prop_map(|(which, decision)| Act::Answer(which, decision)),
        1 => Just(Act::Expire),
        2 => Just(Act::Retry),
        2 => any::<bool>().prop_map(Act::Response),
        2 => any::<bool>().prop_map(Act::Usage),
        1 => select(others.to_vec()).prop_map(Act::Other),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    let ends = [
        End::Told("completed"),
        End::Told("failed"),
        End::Told("interrupted"),
        End::ServerExits,
        End::Dropped,
        End::TimedOut,
    ];
    let reach = prop_oneof![
        1 => Just(Reach::Pause),
        1 => Just(Reach::Load),
        1 => Just(Reach::Start),
        1 => Just(Reach::Taken),
        9 => Just(Reach::Started),
    ];
    let before = [millis(), millis(), millis(), millis(), millis()];
    let acts = vec((millis(), act()), 0..24);
    let failure =
        (millis(), millis(), millis()).prop_map(|(before_call, load, after_end)| Failure {
            before_call,
            load,
            after_end,
        });
    let failures = prop_oneof![3 => Just(Vec::new()), 1 => vec(failure, 1..3)];
    let parts = (before, reach, acts, select(ends.to_vec()));
    let attempts = (failures, any::<bool>());
    let flags = (any::<bool>(), any::<bool>());
    (attempts, parts, millis(), millis(), flags).prop_map(
        |(
            (failures, is_nested),
            (before, reach, acts, end),
            before_end,
            after_end,
            (tells_prompt, is_dropped_late),
        )| Script {
            failures,
            is_nested,
            before,
            tells_prompt,
            reach,
            acts,
            end,
            before_end,
            after_end,
            is_dropped_late,
        },
    )
}

/// A turn that runs by a script.
struct Stage {
    peer: Peer,
    hand: ManualClock,
    now: u64,
    story: Story,
    /// Those of the attempts, and when each began.
    attempts: Vec<(u64, Story)>,
    approver: Approver,
    /// The numbers of the questions that are open, and the tool of the program that asks.
    open: Vec<(usize, Option<&'static str>)>,
    asked: usize,
    /// The ids of the tools that run.
    tools: Vec<String>,
    used: u64,
}

/// Answers the questions as the script says.
#[derive(Clone, Default)]
struct Approver(Arc<Mutex<HashMap<usize, oneshot::Sender<Decision>>>>);

impl Approver {
    fn service(
        &self,
    ) -> impl tower::Service<ApprovalRequest, Response = Decision, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static {
        let asked = Arc::clone(&self.0);
        service_fn(move |request: ApprovalRequest| {
            let number = match request.action {
                Action::Command { command, .. } => command.parse().unwrap(),
                Action::ToolCall { arguments } => arguments["number"].as_u64().unwrap(),
                action => panic!("{action:?}"),
            };
            let (decide, decided) = oneshot::channel();
            let number = usize::try_from(number).unwrap();
            asked.lock().unwrap().insert(number, decide);
            async move {
                match decided.await {
                    Ok(decision) => Ok(decision),
                    // The test has ended.
                    Err(_) => std::future::pending().await,
                }
            }
        })
    }

    fn answer(&self, number: usize, decision: Decision) {
        let decide = self.0.lock().unwrap().remove(&number);
        let decide = decide.expect("the approver is asked");
        decide.send(decision).expect("the answer is waited for");
    }
}

/// Lets all tasks run that can.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

impl Stage {
    /// Lets time pass.
    async fn pass(&mut self, millis: u64) {
        settle().await;
        self.hand.advance(Duration::from_millis(millis));
        self.now += millis;
    }

    fn sign(&mut self, sign: Sign) {
        let (began, attempt) = self.attempts.last_mut().unwrap();
        if !matches!(sign, Sign::Called | Sign::Paused) {
            attempt.signs.push((self.now - *began, sign.clone()));
        }
        self.story.signs.push((self.now, sign));
    }

    /// Notes that the attempt has ended.
    fn ended(&mut self, is_completed: bool) {
        let (began, attempt) = self.attempts.last_mut().unwrap();
        for (began, story) in [(*began, attempt), (0, &mut self.story)] {
            story.ended = self.now - began;
            story.is_completed = is_completed;
        }
    }

    /// Notes that the call of the attempt has ended, and that of the turn if there is no other one.
    fn call_ended(&mut self) {
        let (began, attempt) = self.attempts.last_mut().unwrap();
        attempt.call_ended = self.now - *began;
        self.story.call_ended = self.now;
    }

    async fn tell(&mut self, method: &str, fields: Value) {
        self.peer.tell(method, THREAD, TURN, fields).await;
    }

    async fn act(&mut self, act: Act) {
        match act {
            Act::Item(kind, id, is_start) => self.item(kind, id, is_start).await,
            Act::Delta(method) => {
                self.tell(method, json!({"itemId": "i", "delta": "hello"}))
                    .await;
                let is_output = method == "item/commandExecution/outputDelta";
                if is_output {
                    self.sign(Sign::Noise);
                } else {
                    self.sign(Sign::Started);
                    self.sign(Sign::Writes);
                }
            }
            Act::Ask => {
                let number = self.ask(None);
                let fields = json!({"itemId": "i", "command": number.to_string()});
                let method = "item/commandExecution/requestApproval";
                self.request(method, number, fields).await;
            }
            Act::HostCall(tool) => {
                let id = format!("host-{tool}");
                if self.tools.contains(&id) {
                    return;
                }
                self.host_item("item/started", &id).await;
                self.sign(Sign::Started);
                self.sign(Sign::ToolStarted(id.clone()));
                self.tools.push(id.clone());
                let number = self.ask(Some(tool));
                let arguments = json!({"number": number});
                let fields = json!({"callId": id, "tool": "t", "arguments": arguments});
                self.request("item/tool/call", number, fields).await;
            }
            Act::HostEnd(tool) => {
                let id = format!("host-{tool}");
                if !self.tools.contains(&id) {
                    return;
                }
                self.host_item("item/completed", &id).await;
                self.tools.retain(|open| *open != id);
                self.sign(Sign::ToolEnded(id));
                // Codex does not wait for it any more.
                self.close(|(_, asking)| *asking == Some(tool));
            }
            Act::Answer(which, decision) => {
                settle().await;
                if !self.open.is_empty() {
                    let (number, tool) = self.open[which.index(self.open.len())];
                    if decision == Decision::Cancel && tool.is_none() {
                        self.sign(Sign::Cancels);
                    }
                    self.approver.answer(number, decision);
                    self.close(|(open, _)| *open == number);
                }
            }
            Act::Expire => {
                settle().await;
                tokio::time::advance(DEADLINE).await;
                self.close(|_| true);
            }
            Act::Retry => {
                let error = json!({"willRetry": true, "error": {"message": "Reconnecting... 1/5"}});
                self.tell("error", error).await;
                self.sign(Sign::Started);
                self.sign(Sign::Retries);
            }
            Act::Response(has_usage) => {
                let usage = has_usage.then(|| json!({"inputTokens": 1, "outputTokens": 1}));
                let fields = json!({"responseId": "r", "usage": usage});
                self.tell("rawResponse/completed", fields).await;
                self.sign(Sign::Started);
                self.sign(Sign::ResponseEnded);
            }
            Act::Usage(is_repeated) => {
                let is_news = !is_repeated || self.used == 0;
                self.used += u64::from(is_news);
                let total = json!({"inputTokens": self.used, "outputTokens": 0});
                let usage = json!({"tokenUsage": {"last": total, "total": total}});
                self.tell("thread/tokenUsage/updated", usage).await;
                self.sign(if is_news { Sign::Used } else { Sign::Noise });
            }
            Act::Other(method) => {
                let fields = json!({"message": "hello", "plan": [{"step": "hello"}]});
                self.tell(method, fields).await;
                self.sign(Sign::Noise);
            }
        }
    }

    async fn item(&mut self, kind: &'static str, id: &'static str, is_start: bool) {
        let stage = if is_start { "started" } else { "completed" };
        // Each kind has ids of its own.
        let id = format!("{kind}-{id}");
        let item = json!({"type": kind, "id": id, "command": "ls", "server": "s", "tool": "t", "status": stage});
        self.tell(&format!("item/{stage}"), json!({"item": item}))
            .await;
        self.sign(Sign::Started);
        let is_open = self.tools.contains(&id);
        let sign = match kind {
            "agentMessage" | "reasoning" if is_start => Sign::Writes,
            "agentMessage" | "reasoning" => Sign::Text,
            "plan" | "hologram" => Sign::Noise,
            _ if is_start && is_open => Sign::Noise,
            _ if is_start => {
                self.tools.push(id.clone());
                Sign::ToolStarted(id)
            }
            _ if is_open => {
                self.tools.retain(|open| *open != id);
                Sign::ToolEnded(id)
            }
            _ => Sign::ToolWhole,
        };
        self.sign(sign);
    }

    async fn host_item(&mut self, method: &str, id: &str) {
        let item = json!({"type": "dynamicToolCall", "id": id, "tool": "t", "arguments": {}, "status": "completed"});
        self.tell(method, json!({"item": item})).await;
    }

    /// Notes a question, and returns its number.
    fn ask(&mut self, tool: Option<&'static str>) -> usize {
        let number = self.asked;
        self.asked += 1;
        self.open.push((number, tool));
        self.sign(Sign::Asked(number));
        number
    }

    async fn request(&mut self, method: &str, id: usize, mut fields: Value) {
        fields["threadId"] = THREAD.into();
        fields["turnId"] = TURN.into();
        let request = json!({"id": id, "method": method, "params": fields});
        self.peer.write(&request).await;
    }

    /// Notes that questions are answered, or open no more.
    fn close(&mut self, is_closed: impl Fn(&(usize, Option<&'static str>)) -> bool) {
        let (closed, open) = self.open.iter().copied().partition(|open| is_closed(open));
        self.open = open;
        let closed: Vec<_> = closed;
        for (number, _) in closed {
            self.sign(Sign::Answered(number));
        }
    }
}

/// Runs a turn, and checks its phases.
async fn check(script: Script) {
    let peer = Peer::connect(&Options {
        limits: Limits {
            request_timeout: NEVER,
            interrupt_timeout: NEVER,
            ..Options::default().limits
        },
        ..Options::default()
    });
    let sink = MemorySink::new();
    let (clock, hand) = Clock::manual(UNIX_EPOCH);
    let timing = TimingLayer::with_clock(sink.clone(), clock);
    let approver = Approver::default();
    let tool =
        service_fn(async |call: ToolCall| Ok::<_, ToolError>(ToolOutput::new(call.arguments)));
    let registry = ToolService::builder().tool(ToolSpec::new("t", "A tool"), tool);
    let registry = registry.build().unwrap();
    let asking = ApprovalLayer::new(approver.service(), DEADLINE).layer(registry.clone());
    let tools = HostTools::new(&registry, timing.layer(asking), NEVER);
    let turns = CodexAppServer::builder()
        .codex("/no/such/codex")
        .request_timeout(NEVER)
        .approver(approver.service(), DEADLINE)
        .tools(tools)
        .build()
        .with_server(peer.server());

    // Layers that wait before the service is called and after it has returned, and that give up.
    let [enter, leave] = [(); 2].map(|()| Arc::new(Semaphore::new(0)));
    let (time_out, returned) = (Arc::new(Notify::new()), Arc::new(Mutex::new(None)));
    let inner = {
        let (enter, leave) = (Arc::clone(&enter), Arc::clone(&leave));
        let (time_out, returned) = (Arc::clone(&time_out), Arc::clone(&returned));
        service_fn(move |request: TurnRequest| {
            let (enter, leave) = (Arc::clone(&enter), Arc::clone(&leave));
            let (time_out, returned) = (Arc::clone(&time_out), Arc::clone(&returned));
            let turns = turns.clone();
            async move {
                enter.acquire().await.unwrap().forget();
                let result = tokio::select! {
                    biased;
                    () = time_out.notified() => Err("it takes too long".into()),
                    result = turns.oneshot(request) => result.map_err(BoxError::from),
                };
                if let Ok(turn) = &result {
                    *returned.lock().unwrap() = Some(turn.phases.clone());
                }
                leave.acquire().await.unwrap().forget();
                result
            }
        })
    };
    let classify =
        |_: &BoxError| Classification::from(ErrorClass::Overloaded).with_retry_after(Some(PAUSE));
    let policy = RetryPolicy::new()
        .classifier(classify)
        .max_attempts(u32::try_from(script.failures.len()).unwrap() + 1)
        .max_retry_after(PAUSE)
        .backoff(Duration::ZERO, Duration::ZERO);
    let layered = ServiceBuilder::new()
        .layer(timing.clone())
        .retry(policy)
        .option_layer(script.is_nested.then_some(timing))
        .service(inner);
    let running = tokio::spawn(layered.oneshot(TurnRequest::new("a prompt")));
    let mut stage = Stage {
        hand,
        now: 0,
        story: Story::default(),
        attempts: vec![(0, Story::default())],
        approver,
        open: Vec::new(),
        asked: 0,
        tools: Vec::new(),
        used: 0,
        peer,
    };

    let count = script.failures.len();
    for (place, failure) in script.failures.iter().enumerate() {
        stage.pass(failure.before_call).await;
        enter.add_permits(1);
        if place > 0 {
            stage.sign(Sign::Called);
        }
        stage.sign(Sign::Startup);
        let request = stage.peer.request("thread/start").await;
        stage.pass(failure.load).await;
        stage.peer.reject(&request, "no").await;
        settle().await;
        stage.ended(false);
        stage.sign(Sign::Paused);
        stage.pass(failure.after_end).await;
        leave.add_permits(1);
        settle().await;
        stage.call_ended();
        if place + 1 == count && script.reach == Reach::Pause {
            stage.pass(script.before_end).await;
            stage.story.ended = stage.now;
            stage.story.call_ended = stage.now;
            running.abort();
            assert!(running.await.unwrap_err().is_cancelled());
            return stage.check(&sink, script.is_nested, None);
        }
        stage.pass(PAUSE_MILLIS).await;
        tokio::time::advance(PAUSE).await;
        settle().await;
        stage.attempts.push((stage.now, Story::default()));
    }

    let [
        before_call,
        before_load,
        before_start,
        before_news,
        before_prompt,
    ] = script.before;
    stage.pass(before_call).await;
    enter.add_permits(1);
    if count > 0 {
        stage.sign(Sign::Called);
    }
    stage.sign(Sign::Startup);
    let mut request = stage.peer.request("thread/start").await;
    if script.reach >= Reach::Start {
        stage.pass(before_load).await;
        let thread = json!({"thread": {"id": THREAD}});
        stage.peer.answer(&request, thread).await;
        request = stage.peer.request("turn/start").await;
    }
    if script.reach >= Reach::Taken {
        stage.pass(before_start).await;
        let turn = json!({"turn": {"id": TURN}});
        stage.peer.answer(&request, turn).await;
    }
    if script.reach >= Reach::Started {
        stage.pass(before_news).await;
        stage.tell("turn/started", json!({})).await;
        stage.pass(before_prompt).await;
        if script.tells_prompt {
            let prompt = json!({"item": {"type": "userMessage", "id": "u"}});
            stage.tell("item/completed", prompt).await;
            stage.sign(Sign::Started);
        }
        for (before, act) in script.acts {
            stage.pass(before).await;
            stage.act(act).await;
        }
    }

    stage.pass(script.before_end).await;
    let is_told = script.reach >= Reach::Taken;
    stage.ended(is_told && script.end == End::Told("completed"));
    match script.end {
        End::Told(status) if is_told => stage.peer.end(THREAD, TURN, status).await,
        End::Told(_) => stage.peer.reject(&request, "no").await,
        End::ServerExits => stage.peer.exit(ExitStatus::default()),
        End::Dropped => running.abort(),
        End::TimedOut => time_out.notify_one(),
    }
    settle().await;
    if script.end != End::Dropped {
        stage.pass(script.after_end).await;
    }
    stage.call_ended();
    if script.is_dropped_late {
        running.abort();
    } else {
        leave.add_permits(1);
    }
    // An error means that it was dropped. The result is that of the script.
    let _ = running.await;
    let result = returned.lock().unwrap().take();
    assert_eq!(result.is_some(), stage.story.is_completed);
    stage.check(&sink, script.is_nested, result.as_ref());
}

impl Stage {
    /// Checks the events of the turn, and its result.
    fn check(&self, sink: &MemorySink, is_nested: bool, result: Option<&Phases>) {
        let mut turns = sink.events();
        turns.retain(|event| event.kind().is_terminal() && event.operation() == Operation::Turn);
        let (whole, attempts) = turns.split_last().expect("the turn has ended");
        self.story.check_event(whole, true);
        let own = if is_nested { &self.attempts[..] } else { &[] };
        assert_eq!(attempts.len(), own.len());
        for (event, (_, story)) in attempts.iter().zip(own) {
            story.check_event(event, true);
        }
        if let Some(phases) = result {
            // Those of the innermost call.
            let story = own.last().map_or(&self.story, |(_, story)| story);
            story.check_result(phases, story.ended, true);
        }
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
        runtime.block_on(check(script));
    }
}
