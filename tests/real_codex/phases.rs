//! Where the time of a turn goes. What a turn waits for is held for a known time, which is a lower bound of its phase. The
//! phases add up, as `calls` checks of every turn, so the bounds of all hold from above as well.
#![cfg(unix)]

use std::{fs, time::Duration};

use codex_telemetry::{Event, Phase, Phases, turn::TurnRequest};
use tokio::sync::mpsc;

use crate::{
    app_server::Transport,
    bench::Bench,
    calls::{Calls, assert_ok},
    gate::Gate,
    phases_rig::{HOLD, Watch, assert_held, hold, hold_for, order, phases_of, until_let_go},
    reply::{Reply, Tokens},
};

/// What a busy machine may add to it.
const SLACK: Duration = Duration::from_secs(2);

// === one phase after the other ===

#[tokio::test]
async fn a_model_that_is_held_for_a_second_is_a_second_of_model() {
    for transport in Transport::ALL {
        let gate = Gate::new();
        let Some(bench) = Bench::start([Reply::done().held(&gate)]) else {
            return;
        };
        let (progress, mut watch) = Watch::new();
        let holds = async {
            let held = watch.hold_model(&gate).await;
            gate.open();
            held
        };
        let request = bench.request("Go").with_progress(progress);
        let (turn, held) = tokio::join!(bench.run_on(transport, request), holds);
        let phases = bench.phases(&turn.unwrap());
        assert_held(&phases, Phase::Model, held);
        let model = phases.get(Phase::Model).unwrap();
        assert!(model < held + SLACK, "{held:?} of {phases:?}");
        for phase in [Phase::Tools, Phase::Retry] {
            assert_eq!(phases.get(phase), Some(Duration::ZERO), "{phases:?}");
        }
    }
}

#[tokio::test]
async fn a_command_that_is_held_is_tools() {
    for transport in Transport::ALL {
        let script = [Reply::shell(&until_let_go("go")), Reply::done()];
        let Some(bench) = Bench::start(script) else {
            return;
        };
        let (progress, mut watch) = Watch::new();
        let holds = async {
            let held = watch.hold_command().await;
            bench.let_go("go");
            held
        };
        let request = bench.request("Go").with_progress(progress);
        let (turn, held) = tokio::join!(bench.run_on(transport, request), holds);
        let phases = bench.phases(&turn.unwrap());
        assert_held(&phases, Phase::Tools, held);
        let tools = phases.get(Phase::Tools).unwrap();
        assert!(tools < held + SLACK, "{held:?} of {phases:?}");
    }
}

#[tokio::test]
async fn commands_that_run_at_once_count_once() {
    for transport in Transport::ALL {
        let commands = ["short", "long"].map(until_let_go);
        let script = [Reply::shells(commands.iter().map(|c| &**c)), Reply::done()];
        let Some(bench) = Bench::start(script) else {
            return;
        };
        let (progress, mut watch) = Watch::new();
        let holds = async {
            watch.tool_started().await;
            watch.tool_started().await;
            let both = hold_for(Duration::from_millis(600)).await;
            bench.let_go("short");
            let rest = hold_for(Duration::from_millis(400)).await;
            bench.let_go("long");
            (both, rest)
        };
        let request = bench.request("Go").with_progress(progress);
        let (turn, (both, rest)) = tokio::join!(bench.run_on(transport, request), holds);
        let phases = bench.phases(&turn.unwrap());
        assert_held(&phases, Phase::Tools, both + rest);

        let calls = bench.calls(1);
        let [one, other] = &calls.tools[..] else {
            panic!("{:?}", calls.tools);
        };
        let each = one.duration().unwrap() + other.duration().unwrap();
        let starts = [one, other].map(Event::start_time);
        let ends = [one, other].map(Event::time);
        let told = ends
            .iter()
            .max()
            .unwrap()
            .duration_since(*starts.iter().min().unwrap());
        let told = told.unwrap();
        assert!(each >= told + both, "{each:?} within {told:?}");
        // Codex tells of a command late, so the app-server counts from the end of the response.
        let late = calls.chats.first().map_or(Duration::ZERO, |response| {
            let late = starts.iter().min().unwrap().duration_since(response.time());
            late.unwrap_or_default()
        });
        let tools = phases.get(Phase::Tools).unwrap();
        // Two clocks.
        let tolerance = Duration::from_millis(100);
        let differs = tools.abs_diff(told + late) > tolerance;
        assert!(!differs, "{tools:?}, but {told:?} and {late:?}");
    }
}

/// The phases of a conversation, and how long its model and its command were held.
struct Conversation {
    phases: Phases,
    thread_id: String,
    thought: Duration,
    ran: Duration,
}

impl Conversation {
    /// Has the model think, a command run, and the model think again.
    async fn run(bench: &Bench, transport: Transport, request: TurnRequest) -> Self {
        let (thinks, writes) = (Gate::new(), Gate::new());
        bench.model.then([
            Reply::shell(&until_let_go("go")).held(&thinks),
            Reply::streamed(&["do", "ne"], Tokens::FEW).held(&writes),
        ]);
        let (progress, mut watch) = Watch::new();
        let holds = async {
            watch.turn_started().await;
            thinks.reached().await;
            let thought = hold().await;
            thinks.open();
            watch.tool_started().await;
            let ran = hold().await;
            bench.let_go("go");
            writes.reached().await;
            let thought = thought + hold().await;
            writes.open();
            (thought, ran)
        };
        let request = request.with_progress(progress);
        let (turn, (thought, ran)) = tokio::join!(bench.run_on(transport, request), holds);
        let turn = turn.unwrap();
        let calls = Calls::new(&bench.sink.events());
        let event = calls.turns.last().unwrap();
        assert_ok(event);
        Self {
            phases: phases_of(&turn, event),
            thread_id: turn.thread_id.unwrap(),
            thought,
            ran,
        }
    }

    fn check(&self, transport: Transport) {
        let phases = &self.phases;
        assert_eq!(
            order(phases),
            [
                Phase::Wait,
                Phase::Startup,
                Phase::Model,
                Phase::Tools,
                Phase::Model,
                Phase::Other
            ],
            "{transport:?}: {phases:?}"
        );
        assert_held(phases, Phase::Model, self.thought);
        assert_held(phases, Phase::Tools, self.ran);
        // What one of them does not see.
        let sees_more = transport == Transport::AppServer;
        assert_eq!(phases.get(Phase::Approval).is_some(), sees_more);
        let first_token = phases.time_to_first_token();
        assert_eq!(first_token.is_some(), sees_more, "{phases:?}");
        assert!(first_token.is_none_or(|time| time >= self.thought + self.ran));
    }

    /// Returns the time of the model and of the command without that for which they were held.
    fn rest(&self) -> [Duration; 2] {
        let rest = |phase, held| self.phases.get(phase).unwrap() - held;
        [
            rest(Phase::Model, self.thought),
            rest(Phase::Tools, self.ran),
        ]
    }
}

#[tokio::test]
async fn a_conversation_has_the_same_phases_by_both_transports() {
    let mut rests = Vec::new();
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let conversation = Conversation::run(&bench, transport, bench.request("Go")).await;
        conversation.check(transport);
        rests.push(conversation.rest());
    }
    let same = rests[0].iter().zip(rests[1]);
    let same = same.map(|(by_exec, by_app_server)| by_exec.abs_diff(by_app_server));
    assert!(same.max() < Some(SLACK), "{rests:?}");
}

#[tokio::test]
async fn a_conversation_in_a_thread_that_is_resumed_has_the_same_phases() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let first = Conversation::run(&bench, transport, bench.request("Go")).await;
        fs::remove_file(bench.work.path().join("go")).unwrap();
        let request = bench.request("On").with_resume(first.thread_id);
        // By another process, which does not tell the ends of responses.
        Conversation::run(&bench, transport, request)
            .await
            .check(transport);
    }
}

#[tokio::test]
async fn a_command_that_starts_while_its_response_goes_on_does_not_take_the_time_of_the_model() {
    for transport in Transport::ALL {
        let [first_goes_on, thinks, goes_on] = [(); 3].map(|()| Gate::new());
        let script = [
            // Both commands are sent after two events, and the end of their response waits.
            Reply::shell("true").held_after(2, &first_goes_on),
            Reply::shell(&until_let_go("go"))
                .held(&thinks)
                .held_after(2, &goes_on),
            Reply::done(),
        ];
        let Some(bench) = Bench::start(script) else {
            return;
        };
        let (progress, mut watch) = Watch::new();
        let holds = async {
            watch.tool_completed().await;
            first_goes_on.open();
            thinks.reached().await;
            let thought = hold().await;
            thinks.open();
            watch.tool_started().await;
            let ran = hold().await;
            goes_on.open();
            bench.let_go("go");
            (thought, ran)
        };
        let request = bench.request("Go").with_progress(progress);
        let (turn, (thought, ran)) = tokio::join!(bench.run_on(transport, request), holds);
        let phases = bench.phases(&turn.unwrap());
        assert_held(&phases, Phase::Model, thought);
        assert_held(&phases, Phase::Tools, ran);
    }
}

// === what one transport sees and the other does not ===

#[tokio::test]
async fn a_text_that_is_written_beside_a_command_is_model_if_its_parts_are_told() {
    for transport in Transport::ALL {
        let gate = Gate::new();
        let script = [
            Reply::shell_in_background(&until_let_go("go")),
            // Held after its first part.
            Reply::streamed(&["do", "ne"], Tokens::FEW).held_after(3, &gate),
        ];
        let Some(bench) = Bench::start(script) else {
            return;
        };
        let (progress, mut watch) = Watch::new();
        let holds = async {
            watch.tool_started().await;
            gate.reached().await;
            if transport == Transport::AppServer {
                watch.message_begun().await;
            }
            let held = hold().await;
            gate.open();
            held
        };
        let request = bench.request("Go").with_progress(progress);
        let (turn, held) = tokio::join!(bench.run_on(transport, request), holds);
        bench.let_go("go");
        let phases = bench.phases(&turn.unwrap());
        let (in_force, last): (_, &[Phase]) = match transport {
            Transport::AppServer => (Phase::Model, &[Phase::Tools, Phase::Model, Phase::Tools]),
            Transport::Exec => (Phase::Tools, &[Phase::Model, Phase::Tools]),
        };
        assert_held(&phases, in_force, held);
        let order = order(&phases);
        let before_the_end = &order[..order.len() - 1];
        assert!(before_the_end.ends_with(last), "{transport:?}: {phases:?}");
    }
}

#[tokio::test]
async fn the_exit_of_codex_is_other() {
    let Some(bench) = Bench::start([Reply::done()]) else {
        return;
    };
    let codex = bench.codex.display();
    let slow = bench.codex_after(&format!("'{codex}' \"$@\"; sleep 1; exit"));
    let request = bench.request("Go");
    let turn = bench.run_binary(Transport::Exec, &slow, request).await;
    let phases = bench.phases(&turn.unwrap());
    assert_held(&phases, Phase::Other, Duration::from_secs(1));
    assert_eq!(phases.last(), Some(Phase::Other));
}

#[tokio::test]
async fn a_reader_of_progress_that_is_waited_for_is_other() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([Reply::shell("true"), Reply::done()]) else {
            return;
        };
        // It has room for one, and reads nothing.
        let (progress, _unread) = mpsc::channel(1);
        let request = bench.request("Go").with_progress(progress);
        let result = bench.run_as(
            transport,
            request,
            |exec| exec.exit_grace(HOLD),
            |server| server.exit_grace(HOLD),
        );
        let phases = bench.phases(&result.await.unwrap());
        assert_held(&phases, Phase::Other, HOLD);
    }
}
