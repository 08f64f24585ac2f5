//! The turn that the README draws. `scripts/picture` writes its events down.
#![cfg(unix)]

use std::{convert::Infallible, env, fs, time::Duration};

use codex_telemetry::{
    ApprovalLayer, BoxError, Decision, Phase, TimingLayer,
    approval::ApprovalRequest,
    tool::{ToolService, tool_fn},
};
use serde_json::{Value, json};
use tokio::time::sleep;
use tower::{Layer, service_fn};

use crate::{
    bench::{Bench, DEADLINE},
    gate::Gate,
    host_rig::spec,
    phases_rig::{assert_held, order},
    reply::{Reply, Tokens},
};

/// How long each response of the model takes at least.
const RESPONSES: [Duration; 3] = [
    Duration::from_millis(700),
    Duration::from_millis(500),
    Duration::from_millis(900),
];
const COMMAND: Duration = Duration::from_millis(600);
const TOOL: Duration = Duration::from_millis(400);
const APPROVAL: Duration = Duration::from_millis(800);

#[tokio::test]
async fn the_turn_of_the_readme_spends_its_time_in_the_phases_that_are_drawn() {
    let gates = [(); 3].map(|()| Gate::new());
    let [first, second, third] = &gates;
    let command = format!("sleep {}", COMMAND.as_secs_f64());
    let script = [
        Reply::shell(&command).held(first),
        Reply::calls([("closed_tickets", json!({})), ("publish", json!({}))]).held(second),
        Reply::streamed(&["1.4: ", "faster start"], Tokens::FEW).held(third),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let tickets = tool_fn(async |_: Value, _| {
        sleep(TOOL).await;
        Ok::<_, BoxError>(json!(["faster start"]))
    });
    let publish = tool_fn(async |_: Value, _| Ok::<_, BoxError>(json!("published")));
    let approver = service_fn(async |_: ApprovalRequest| {
        sleep(APPROVAL).await;
        Ok::<_, Infallible>(Decision::Accept)
    });
    let approver = TimingLayer::new(bench.sink.clone()).layer(approver);
    let publish = ApprovalLayer::new(approver, DEADLINE).layer(publish);
    let registry = ToolService::builder()
        .tool(spec("closed_tickets"), tickets)
        .tool(spec("publish"), publish)
        .build()
        .unwrap();
    let server = bench.hosting(&registry);
    let holds = async {
        for (gate, time) in gates.iter().zip(RESPONSES) {
            gate.reached().await;
            sleep(time).await;
            gate.open();
        }
    };
    let request = bench
        .ask("Write the release notes")
        .with_agent("release-notes");
    let (turn, ()) = tokio::join!(server.complete(request), holds);
    server.end().await;

    let phases = bench.phases(&turn);
    for (phase, held) in [
        (Phase::Model, RESPONSES.iter().sum()),
        (Phase::Tools, COMMAND),
        (Phase::Approval, APPROVAL),
    ] {
        assert_held(&phases, phase, held);
    }
    let order = order(&phases);
    assert_eq!(order.first(), Some(&Phase::Wait), "{phases:?}");
    assert_eq!(order.last(), Some(&Phase::Other), "{phases:?}");

    if let Some(path) = env::var_os("CODEX_TELEMETRY_PICTURE") {
        let events = bench.sink.events();
        let lines = events
            .iter()
            .map(|event| serde_json::to_string(event).unwrap() + "\n");
        fs::write(path, lines.collect::<String>()).unwrap();
    }
}
