//! Who Codex is told that it works for.

use codex_telemetry::{CallContext, CodexRequest, Originator, turn::TurnRequest};

use crate::{bench::Bench, reply::Reply};

const VARIABLE: &str = "CODEX_INTERNAL_ORIGINATOR_OVERRIDE";

/// The originator that the model is told of a turn.
async fn told(bench: &Bench, request: TurnRequest) -> String {
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
async fn the_model_is_told_that_an_sdk_asks() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    // A test that is itself run by Codex's kin keeps the name that was given to it.
    let inherited = std::env::var(VARIABLE).ok();
    let expected = inherited.as_deref().unwrap_or("codex_sdk_rs");
    assert_eq!(told(&bench, bench.request("Go")).await, expected);
    let calls = bench.calls(1);
    assert_eq!(calls.turn().originator(), Some(&Originator::Sdk));
}

#[tokio::test]
async fn the_callers_own_name_for_codex_wins() {
    let Some(bench) = Bench::start([]) else {
        return;
    };
    let request = bench.request("Go").with_env(VARIABLE, "release-bot");
    assert_eq!(told(&bench, request).await, "release-bot");
    bench.calls(1);
}

#[tokio::test]
async fn an_originator_on_the_request_is_told_rather_than_the_layers() {
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
        assert_eq!(told(&bench, request).await, name);
        let events = bench.sink.take();
        assert_eq!(events.len(), 2);
        for event in events {
            assert_eq!(event.originator(), Some(&originator));
        }
    }
}
