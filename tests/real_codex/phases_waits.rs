//! What a turn waits for before the model works, and between its attempts.
#![cfg(unix)]

use std::time::Duration;

use codex_telemetry::{
    BoxError, CodexClassifier, Event, Phase, RetryPolicy, ServiceBuilderExt,
    event::names,
    turn::{Turn, TurnError, TurnRequest},
};
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::{
    app_server::Transport,
    bench::{Bench, in_time},
    gate::Gate,
    mcp_stub,
    phases_rig::{HOLD, Watch, assert_held, hold, hold_for, order, phases_of},
    reply::{Ending, Reply},
};

// === startup ===

#[tokio::test]
async fn a_codex_that_starts_slowly_is_startup() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([Reply::done()]) else {
            return;
        };
        let codex = bench.codex_after(&bench.wait_for("go"));
        let holds = async {
            bench.waits("go").await;
            let held = hold().await;
            bench.let_go("go");
            held
        };
        let turn = bench.run_binary(transport, &codex, bench.request("Go"));
        let (turn, held) = tokio::join!(turn, holds);
        let phases = bench.phases(&turn.unwrap());
        assert_held(&phases, Phase::Startup, held);
        assert_eq!(
            order(&phases)[..3],
            [Phase::Wait, Phase::Startup, Phase::Model]
        );
    }
}

#[tokio::test]
async fn a_turn_of_a_server_that_runs_starts_faster_than_the_one_that_starts_it() {
    let Some(bench) = Bench::start([Reply::done(), Reply::done()]) else {
        return;
    };
    let codex = bench.codex_after("sleep 1");
    let server = bench.app_server(|builder| builder.codex(codex));
    let cold = server.complete(bench.ask("Go")).await;
    let warm = server.complete(bench.ask_on(&cold, "Go on")).await;
    server.end().await;
    let calls = bench.calls(2);
    let [cold, warm] = [&cold, &warm].map(|turn| {
        phases_of(turn, calls.of(turn).turn)
            .get(Phase::Startup)
            .unwrap()
    });
    assert!(cold >= Duration::from_secs(1), "{cold:?}");
    assert!(warm < cold, "{warm:?} and {cold:?}");
}

/// Returns an MCP server of Codex that waits before it is ready.
fn slow_server(bench: &Bench, is_required: bool) -> serde_json::Value {
    let wait = bench.wait_for("ready");
    let mut server = bench.mcp_server(&format!("{wait}\n{}", mcp_stub::script("[]", "")));
    server["required"] = is_required.into();
    server
}

#[tokio::test]
async fn a_required_mcp_server_that_starts_slowly_is_startup() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([Reply::done()]) else {
            return;
        };
        let holds = async {
            bench.waits("ready").await;
            let held = hold().await;
            bench.let_go("ready");
            held
        };
        let request = bench.request("Go");
        let request = request.with_config("mcp_servers.slow", slow_server(&bench, true));
        let (turn, held) = tokio::join!(bench.run_on(transport, request), holds);
        let phases = bench.phases(&turn.unwrap());
        assert_held(&phases, Phase::Startup, held);
    }
}

#[tokio::test]
async fn another_mcp_server_that_starts_slowly_is_startup_and_by_exec_model() {
    for (transport, phase) in [
        (Transport::AppServer, Phase::Startup),
        (Transport::Exec, Phase::Model),
    ] {
        let Some(bench) = Bench::start([Reply::done()]) else {
            return;
        };
        let (progress, mut watch) = Watch::new();
        let holds = async {
            watch.turn_started().await;
            bench.waits("ready").await;
            // Less than the second for which Codex waits.
            let held = hold_for(Duration::from_millis(500)).await;
            bench.let_go("ready");
            held
        };
        let request = bench.request("Go").with_progress(progress);
        let request = request.with_config("mcp_servers.slow", slow_server(&bench, false));
        let (turn, held) = tokio::join!(bench.run_on(transport, request), holds);
        let phases = bench.phases(&turn.unwrap());
        assert_held(&phases, phase, held);
    }
}

// === wait ===

#[tokio::test]
async fn a_turn_that_waits_for_the_one_before_it_in_its_thread_is_in_wait() {
    let gate = Gate::new();
    let script = [Reply::done(), Reply::done().held(&gate), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let first = server.complete(bench.ask("Go")).await;
    let holds = async {
        gate.reached().await;
        bench.begun(3).await;
        let held = hold().await;
        gate.open();
        held
    };
    let both = server.complete_both(bench.ask_on(&first, "On"), bench.ask_on(&first, "And on"));
    let ((one, other), held) = tokio::join!(both, holds);
    server.end().await;
    let calls = bench.calls(3);
    let mut phases = [&one, &other].map(|turn| phases_of(turn, calls.of(turn).turn));
    // Either may be the first.
    phases.sort_by_key(|phases| phases.get(Phase::Wait));
    let [before, after] = phases;
    assert_held(&before, Phase::Model, held);
    assert_held(&after, Phase::Wait, held);
}

#[tokio::test]
async fn a_turn_that_waits_for_a_permit_is_in_wait() {
    for transport in Transport::ALL {
        let gate = Gate::new();
        let Some(bench) = Bench::start([Reply::done().held(&gate), Reply::done()]) else {
            return;
        };
        match transport {
            Transport::Exec => {
                let turns = bench.turns().build();
                let requests = ["Go", "Go on"].map(|prompt| bench.request(prompt));
                permits(&bench, &gate, turns, requests).await;
            }
            Transport::AppServer => {
                let server = bench.app_server(|builder| builder);
                let requests = ["Go", "Go on"].map(|prompt| bench.ask(prompt));
                permits(&bench, &gate, server.turns.clone(), requests).await;
                server.end().await;
            }
        }
    }
}

/// Runs two turns by a service with one permit, the first of which is held.
async fn permits<S>(bench: &Bench, gate: &Gate, turns: S, requests: [TurnRequest; 2])
where
    S: Service<TurnRequest, Response = Turn, Error = TurnError, Future: Send> + Send + 'static,
{
    let limited = ServiceBuilder::new()
        .buffer(2)
        .concurrency_limit(1)
        .service(turns);
    let run = |request| {
        let classify = |error: &BoxError| CodexClassifier.of(&**error);
        in_time(bench.classified(limited.clone(), classify).oneshot(request))
    };
    let [one, other] = requests;
    let holds = async {
        gate.reached().await;
        bench.begun(2).await;
        let held = hold().await;
        gate.open();
        held
    };
    let (one, other, held) = tokio::join!(run(one), run(other), holds);
    let calls = bench.calls(2);
    let mut phases = [one, other].map(|turn| {
        let turn = turn.unwrap();
        let mut events = calls.turns.iter();
        let event = events.find(|event| event.thread_id() == turn.thread_id.as_deref());
        phases_of(&turn, event.unwrap())
    });
    phases.sort_by_key(|phases| phases.get(Phase::Wait));
    let [before, after] = phases;
    assert_held(&before, Phase::Model, held);
    assert_held(&after, Phase::Wait, held);
}

// === retry ===

#[tokio::test]
async fn from_codexs_notice_that_it_tries_again_to_the_next_sign_of_the_model_is_retry() {
    for transport in Transport::ALL {
        let gate = Gate::new();
        let script = [Reply::unfinished(Ending::Closed), Reply::done().held(&gate)];
        let Some(bench) = Bench::start(script) else {
            return;
        };
        let (progress, mut watch) = Watch::new();
        let holds = async {
            watch.retrying().await;
            gate.reached().await;
            let held = hold().await;
            gate.open();
            held
        };
        let request = bench.request("Go").with_progress(progress);
        let request = request.with_config("model_providers.mock.stream_max_retries", 2);
        let (turn, held) = tokio::join!(bench.run_on(transport, request), holds);
        let phases = bench.phases(&turn.unwrap());
        assert_held(&phases, Phase::Retry, held);
        let retries = [Phase::Model, Phase::Retry, Phase::Model, Phase::Other];
        assert!(
            order(&phases).ends_with(&retries),
            "{transport:?}: {phases:?}"
        );
    }
}

#[tokio::test]
async fn a_request_that_codex_repeats_without_a_notice_is_model() {
    for transport in Transport::ALL {
        let gate = Gate::new();
        let script = [Reply::status(500, "{}"), Reply::done().held(&gate)];
        let Some(bench) = Bench::start(script) else {
            return;
        };
        let holds = async {
            gate.reached().await;
            let held = hold().await;
            gate.open();
            held
        };
        let request = bench.request("Go");
        let request = request.with_config("model_providers.mock.request_max_retries", 1);
        let (turn, held) = tokio::join!(bench.run_on(transport, request), holds);
        assert_eq!(bench.model.asked().len(), 2, "{transport:?}");
        let phases = bench.phases(&turn.unwrap());
        assert_held(&phases, Phase::Model, held);
        assert_eq!(phases.get(Phase::Retry), Some(Duration::ZERO));
    }
}

#[tokio::test]
async fn the_pause_of_a_retry_policy_is_retry_of_the_call_around_its_attempts() {
    for transport in Transport::ALL {
        let script = [
            Reply::failure("rate_limit_exceeded", "slow down"),
            Reply::done(),
        ];
        let Some(bench) = Bench::start(script) else {
            return;
        };
        let turn = match transport {
            Transport::Exec => retried(&bench, bench.turns().build(), bench.request("Go")).await,
            Transport::AppServer => {
                let server = bench.app_server(|builder| builder);
                let turn = retried(&bench, server.turns.clone(), bench.ask("Go")).await;
                server.end().await;
                turn
            }
        };
        let calls = bench.calls(3);
        let [whole, failed, last] = &calls.turns[..] else {
            panic!("{:?}", calls.turns);
        };
        let phase = |event: &Event, phase| event.phases().unwrap().get(phase).unwrap();
        assert_eq!(failed.attribute(names::PHASE), Some(&"model".into()));
        for attempt in [failed, last] {
            assert_eq!(phase(attempt, Phase::Retry), Duration::ZERO);
        }
        // The policy pauses for half of its backoff at least.
        assert!(phase(whole, Phase::Retry) >= HOLD / 2);
        for of_both in [Phase::Startup, Phase::Model] {
            let attempts = phase(failed, of_both) + phase(last, of_both);
            let of_whole = phase(whole, of_both);
            // Each of the calls looks at the clock.
            let differs = of_whole.abs_diff(attempts) > Duration::from_millis(100);
            assert!(!differs, "{of_both:?}: {of_whole:?}, but {attempts:?}");
        }
        // The service knows the attempt that it has run.
        phases_of(&turn, last);
    }
}

/// Runs a turn that is tried again after a second at most.
async fn retried<S>(bench: &Bench, turns: S, request: TurnRequest) -> Turn
where
    S: Service<TurnRequest, Response = Turn, Error = TurnError, Future: Send> + Clone + Send,
{
    let stack = ServiceBuilder::new()
        .timing(bench.sink.clone())
        .retry(RetryPolicy::new().backoff(HOLD, HOLD))
        .timing(bench.sink.clone())
        .error_class(TurnError::classification)
        .service(turns);
    in_time(stack.oneshot(request)).await.unwrap()
}
