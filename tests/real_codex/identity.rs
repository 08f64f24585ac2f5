//! The originator that Codex reports to the model.

use codex_telemetry::{CallContext, CodexRequest, Originator, turn::TurnRequest};

use crate::{bench::Bench, reply::Reply};

const VARIABLE: &str = "CODEX_INTERNAL_ORIGINATOR_OVERRIDE";

/// Runs a turn, and returns the originator that the model got.
async fn reported(bench: &Bench, request: TurnRequest) -> String {
    bench.model.then([Reply::done()]);
    bench.run(request).await.unwrap();
    let asked = bench.model.asked();
    let request = asked.last().unwrap();
    let name = request.header("originator").to_owned();
    let agent = request.header("user-agent");
    assert!(agent.starts_with(&format!("{name}/")), "{name} in {agent}");
    name
}

#[tokio::test]
async fn the_model_gets_the_originator_of_an_sdk() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    // A name in the environment of the test is inherited.
    let inherited = std::env::var(VARIABLE).ok();
    let expected = inherited.as_deref().unwrap_or("codex_sdk_rs");
    assert_eq!(reported(&bench, bench.request("Go")).await, expected);
    let calls = bench.calls(1);
    assert_eq!(calls.turn().originator(), Some(&Originator::Sdk));
}

#[tokio::test]
async fn an_originator_in_the_environment_wins() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    let request = bench.request("Go").with_env(VARIABLE, "release-bot");
    assert_eq!(reported(&bench, request).await, "release-bot");
    bench.calls(1);
}

#[tokio::test]
async fn an_originator_of_the_request_wins_over_the_layers() {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let Some(bench) = Bench::start([]) else {
        return;
    };
    let named = Originator::named("billing").unwrap();
    for (originator, name) in [(named, "billing"), (Originator::Cli, "codex_cli_rs")] {
        let mut request = bench.request("Go");
        *request.context_mut() = CallContext::new().with_originator(originator.clone());
        assert_eq!(reported(&bench, request).await, name);
        let events = bench.sink.take();
        assert_eq!(events.len(), 2);
        for event in events {
            assert_eq!(event.originator(), Some(&originator));
        }
    }
}
